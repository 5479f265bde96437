// SPDX-License-Identifier: Apache-2.0
/* Makes GErrors of the one domain, choosing the code from errno where there is one. */
#include "base/fault.h"

#include <errno.h>

G_DEFINE_QUARK(vial_fault, fault)

static enum fault code_for(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return FAULT_NO_SPACE;
    case EROFS:
        return FAULT_READ_ONLY;
    default:
        return FAULT_IO;
    }
}

gboolean fault_errno(GError **error, int number, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, FAULT, (int)code_for(number), "%s: %s", what, g_strerror(number));
    errno = number;
    return FALSE;
}

gboolean fault_set(GError **error, enum fault code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autoptr(GError) made = g_error_new_valist(FAULT, (int)code, format, arguments);
    va_end(arguments);
    g_propagate_error(error, g_steal_pointer(&made));
    return FALSE;
}
