// SPDX-License-Identifier: Apache-2.0
/* Declares what vial itself can do for rules (engine/intrinsics.h) as if a file had. */
#include "engine/intrinsics.h"
#include "rules/rules-internal.h"

void intrinsics_declare(struct rules *rules)
{
    const struct place nowhere = { 0 };
    gsize record_count, rule_count;
    const struct intrinsic_record *records = intrinsic_records(&record_count);
    const struct intrinsic_rule *intrinsics = intrinsic_rules(&rule_count);
    for (gsize i = 0; i < record_count; i++)
        declare_record_of(rules, records[i].name, records[i].fields, nowhere);
    for (gsize i = 0; i < rule_count; i++) {
        const char *const params[] = { intrinsics[i].param, NULL };
        const struct graph_rule rule = { .name = intrinsics[i].name,
                                         .output = intrinsics[i].output,
                                         .params = params,
                                         .builtin = true };
        graph_input_rule(rules->input, &rule);
    }
}
