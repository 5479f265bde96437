// SPDX-License-Identifier: Apache-2.0
/* Dispatch to whoever executes, and the release of what an execution holds. */
#include "action/executor.h"

#include "base/fd.h"

bool executor_run(struct executor *executor, const struct execution_request *request,
                  struct execution *out, GError **error)
{
    *out = (struct execution){ .directory = -1 };
    return executor->operations->run(executor, request, out, error);
}

void executor_free(struct executor *executor)
{
    if (executor != NULL)
        executor->operations->free(executor);
}

void execution_let_go(struct execution *execution)
{
    fd_close(&execution->directory);
    if (execution->let_go != NULL)
        execution->let_go(execution->private);
}

void execution_clear(struct execution *execution)
{
    if (execution->result == NULL && execution->private == NULL)
        return; /* zeroed, or cleared before: `directory` may be 0 without meaning a descriptor */
    result_free(execution->result);
    g_clear_pointer(&execution->outputs, tree_unref);
    fd_close(&execution->directory);
    g_free(execution->kept);
    g_strfreev(execution->elsewhere);
    if (execution->release != NULL)
        execution->release(execution->private);
    *execution = (struct execution){ .directory = -1 };
}
