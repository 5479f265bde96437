// SPDX-License-Identifier: Apache-2.0
/* Declares what vial itself can do for rules (engine/intrinsics.h) as if a file had. */
#include "engine/intrinsics.h"
#include "rules/rules-internal.h"

#include <string.h>

void intrinsics_declare_records(struct rules *rules)
{
    const struct place nowhere = { 0 };
    gsize count;
    const struct intrinsic_record *records = intrinsic_records(&count);
    for (gsize i = 0; i < count; i++)
        declare_record_of(rules, records[i].name, records[i].fields, nowhere);
}

/* A declared rule from the same param to the same output is meant to do it instead. */
static bool is_replaced(const struct rules *rules, const struct intrinsic_rule *intrinsic)
{
    for (guint i = 0; i < rules->declared->len; i++) {
        const struct declared_rule *rule = rules->declared->pdata[i];
        if (strcmp(rule->output, intrinsic->output) == 0 && g_strv_length(rule->params) == 1 &&
            strcmp(rule->params[0], intrinsic->param) == 0)
            return true;
    }
    return false;
}

void intrinsics_declare_rules(struct rules *rules)
{
    gsize count;
    const struct intrinsic_rule *intrinsics = intrinsic_rules(&count);
    for (gsize i = 0; i < count; i++) {
        const char *const params[] = { intrinsics[i].param, NULL };
        const struct graph_rule rule = { .name = intrinsics[i].name,
                                         .output = intrinsics[i].output,
                                         .params = params,
                                         .builtin = true };
        if (!is_replaced(rules, &intrinsics[i]))
            graph_input_rule(rules->input, &rule);
    }
}
