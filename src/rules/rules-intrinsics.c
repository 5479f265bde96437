// SPDX-License-Identifier: Apache-2.0
/*
 * What vial itself can do for rules: the records that go in and come out, and the rules between
 * them. man/vial-rules.scd says what each field means.
 */
#include "rules/rules-internal.h"

static const struct {
    const char *name;
    const char *fields[8];
} records[] = {
    { "Digest", { "hash" } },
    { "FileContent", { "path", "content", "executable" } },
    { "Process", { "argv", "env", "input", "outputs", "directory", "timeout", "description" } },
    { "ProcessResult", { "status", "stdout", "stderr", "output" } },
    { "PathGlobs", { "globs" } },
    { "Snapshot", { "digest", "files", "directories" } },
    { "CreateDigest", { "files" } },
    { "MergeDigests", { "digests" } },
    { "DigestSubset", { "digest", "globs" } },
    { "AddPrefix", { "digest", "prefix" } },
    { "RemovePrefix", { "digest", "prefix" } },
    { "DigestContents", { "files" } },
    { "EnvironmentRequest", { "names" } },
    { "EnvironmentVars", { "values" } },
    { "FindBinary", { "name", "path" } },
    { "Binary", { "path", "digest" } },
};

/* No declared rule has a name that begins with "vial.". */
static const struct {
    const char *name, *output, *param;
} intrinsics[] = {
    { "vial.process", "ProcessResult", "Process" },
    { "vial.path_globs", "Snapshot", "PathGlobs" },
    { "vial.create_digest", "Digest", "CreateDigest" },
    { "vial.merge_digests", "Digest", "MergeDigests" },
    { "vial.digest_subset", "Digest", "DigestSubset" },
    { "vial.add_prefix", "Digest", "AddPrefix" },
    { "vial.remove_prefix", "Digest", "RemovePrefix" },
    { "vial.digest_contents", "DigestContents", "Digest" },
    { "vial.environment_vars", "EnvironmentVars", "EnvironmentRequest" },
    { "vial.find_binary", "Binary", "FindBinary" },
};

void intrinsics_declare(struct rules *rules)
{
    const struct place nowhere = { 0 };
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++)
        declare_record_of(rules, records[i].name, records[i].fields, nowhere);
    for (gsize i = 0; i < G_N_ELEMENTS(intrinsics); i++) {
        const char *const params[] = { intrinsics[i].param, NULL };
        const struct graph_rule rule = { .name = intrinsics[i].name,
                                         .output = intrinsics[i].output,
                                         .params = params,
                                         .builtin = true };
        graph_input_rule(rules->input, &rule);
    }
}
