// SPDX-License-Identifier: Apache-2.0
/* Two-phase look-up and recording of runs in a view. */
#include "session/observed.h"

#include "base/path.h"
#include "cache/seen.h"
#include "sandbox/sandbox.h"
#include "session/kept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct observed {
    struct session *session; /* borrowed, as is the store */
    char *workspace;
    struct store *store;
    struct trace_clock *clock;
    struct tree *provided; /* to a sealed run; NULL: it is not */
    struct seen *seen;
    struct recorder *recorder;
    struct trace_state *times, *system_times; /* each is one thread's at a time */
    struct trace *trace;
    char *refusal;
};

struct observed *observed_new(struct session *session, struct store *store, const char *workspace)
{
    struct observed *observed = g_new0(struct observed, 1);
    observed->session = session;
    observed->workspace = g_strdup(workspace);
    observed->store = store;
    observed->clock = trace_clock_new(store);
    return observed;
}

void observed_free(struct observed *observed)
{
    if (observed == NULL)
        return;
    trace_unref(observed->trace);
    tree_unref(observed->provided);
    trace_state_free(observed->times);
    trace_state_free(observed->system_times);
    recorder_free(observed->recorder);
    seen_free(observed->seen);
    trace_clock_free(observed->clock);
    g_free(observed->refusal);
    g_free(observed->workspace);
    g_free(observed);
}

/* --- the weak key ----------------------------------------------------------------------------- */

static char *own_processors(void)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    g_autofree char *shown = sandbox_processors();
    digest_of(shown, strlen(shown), &digest);
    return g_strconcat("cpuinfo=", digest_print(&digest, text), NULL);
}

static char *own_limits(void)
{
    g_autoptr(GString) text = g_string_new("limits=");
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit = { 0, 0 };
        getrlimit(resource, &limit);
        g_string_append_printf(text, "%s%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                               resource == 0 ? "" : ",", (guint64)limit.rlim_cur,
                               (guint64)limit.rlim_max);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/*
 * Settings of the kernel that an observed command can read and that stay as somebody has set them:
 * doc/design/platform.md. Those that the kernel makes of the size of memory are left out, since two
 * boots of one machine differ in them.
 */
static char *own_settings(void)
{
    static const char *const names[] = {
        "fs/aio-max-nr",
        "fs/nr_open",
        "fs/pipe-max-size",
        "fs/protected_fifos",
        "fs/protected_hardlinks",
        "fs/protected_regular",
        "fs/protected_symlinks",
        "fs/suid_dumpable",
        "kernel/core_pattern",
        "kernel/ngroups_max",
        "kernel/perf_event_paranoid",
        "kernel/pid_max",
        "kernel/randomize_va_space",
        "kernel/unprivileged_userns_clone",
        "kernel/yama/ptrace_scope",
        "vm/max_map_count",
        "vm/mmap_min_addr",
        "vm/overcommit_memory",
        "vm/overcommit_ratio",
    };
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    g_autoptr(GString) all = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strconcat("/proc/sys/", names[i], NULL);
        g_autofree char *value = NULL;
        g_file_get_contents(path, &value, NULL, NULL);
        g_string_append_printf(all, "%s=%s\n", names[i], value == NULL ? "" : value);
    }
    digest_of(all->str, all->len, &digest);
    return g_strconcat("settings=", digest_print(&digest, text), NULL);
}

void observed_add_platform(const char *workspace, const char *checkout, char *const *caches,
                           char ***platform)
{
    GPtrArray *list = g_ptr_array_new();
    for (char **property = *platform; *property != NULL; property++)
        g_ptr_array_add(list, *property);
    g_ptr_array_add(list, g_strdup_printf("umask=%04o", (unsigned)sandbox_own_mask()));
    g_ptr_array_add(list, own_limits());
    g_ptr_array_add(list, own_processors());
    g_ptr_array_add(list, own_settings());
    g_ptr_array_add(list, g_strdup_printf("user=%u:%u", (unsigned)geteuid(), (unsigned)getegid()));
    g_ptr_array_add(list, g_strconcat("workspace=", workspace, NULL));
    if (checkout != NULL)
        g_ptr_array_add(list, g_strconcat("checkout=", checkout, NULL));
    g_autofree char *shared = g_strjoinv(":", (char **)caches);
    if (*caches != NULL)
        g_ptr_array_add(list, g_strconcat("caches=", shared, NULL));
    g_ptr_array_sort(list, action_compare_assignments);
    g_ptr_array_add(list, NULL);
    g_free(*platform);
    *platform = (char **)g_ptr_array_free(list, FALSE);
}

/* --- sealed runs ------------------------------------------------------------------------------ */

bool observed_provide(struct observed *observed, const struct action *action, struct digest *weak,
                      GError **error)
{
    tree_unref(observed->provided);
    observed->provided = sandbox_provided(action, error);
    if (observed->provided == NULL)
        return false;
    if (action->outputs == NULL)
        return true;
    g_autoptr(glob) select = action_output_glob(action, error);
    if (select == NULL)
        return false;
    g_autoptr(tree) among = tree_subset(observed->provided, select);
    char one[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    g_autofree char *both =
        g_strconcat(digest_print(weak, one), " ", digest_print(tree_digest(among), other), NULL);
    digest_of(both, strlen(both), weak);
    return true;
}

/* --- looking up ------------------------------------------------------------------------------- */

static struct trace_state *host_state(const struct observed *observed)
{
    return trace_host_state_new(observed->session->root, observed->session->stats, observed->clock);
}

bool observed_find(struct observed *observed, const struct digest *weak, struct digest *key,
                   char **reason, GError **error)
{
    seen_free(observed->seen);
    observed->seen = seen_load(observed->store, weak);
    *reason = NULL;
    if (observed->provided != NULL && seen_is_empty(observed->seen))
        return false; /* that there are no other inputs says more */
    g_autoptr(trace_state) state = observed->provided != NULL
                                       ? trace_tree_state_new(observed->provided)
                                       : host_state(observed);
    return seen_find(observed->seen, state, key, reason, error);
}

/* --- recording -------------------------------------------------------------------------------- */

struct recorder *observed_recorder(struct observed *observed)
{
    if (observed->recorder == NULL)
        observed->recorder = recorder_new(observed->provided != NULL ? "/" : observed->workspace);
    return observed->recorder;
}

struct trace_state *observed_times(struct observed *observed)
{
    if (observed->times == NULL)
        observed->times = host_state(observed);
    return observed->times;
}

struct trace_state *observed_system_times(struct observed *observed)
{
    if (observed->system_times == NULL)
        observed->system_times = host_state(observed);
    return observed->system_times;
}

/* Where the host has what the command found in its workspace. */
struct hashing {
    const struct observed *observed;
    struct trace_state *state;
};

static void hash_on_host(struct seal_item *items, size_t count, void *user)
{
    const struct hashing *hashing = user;
    const char *root = hashing->observed->session->root;
    GStringChunk *texts = g_string_chunk_new(4096);
    g_autofree const char **shown = g_new(const char *, count);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *inside = path_below(hashing->observed->workspace, "/", items[i].path);
        g_autofree char *real = inside == NULL ? NULL : g_build_filename(root, inside, NULL);
        shown[i] = items[i].path;
        if (real != NULL)
            items[i].path = g_string_chunk_insert(texts, real);
    }
    trace_host_hash(items, count, hashing->state);
    for (size_t i = 0; i < count; i++)
        items[i].path = shown[i];
    g_string_chunk_free(texts);
}

const char *observed_seal(struct observed *observed)
{
    g_autoptr(trace_state) state = host_state(observed);
    struct hashing hashing = { observed, state };
    bool moved = strcmp(observed->workspace, observed->session->root) != 0;
    observed->trace = moved ? recorder_seal(observed_recorder(observed), hash_on_host, &hashing)
                            : recorder_seal(observed_recorder(observed), trace_host_hash, state);
    observed->refusal = trace_refusal(observed->trace);
    return observed->refusal;
}

const char *observed_refusal(const struct observed *observed)
{
    return observed->refusal;
}

static void keep(struct result *result, const struct digest *digest)
{
    g_array_append_val(result->observed, *digest);
}

bool observed_record(struct observed *observed, struct store_batch *batch,
                     const struct digest *weak, struct result *result, struct digest *key,
                     GError **error)
{
    struct seen_entry entry;
    struct digest trace;
    if (observed->seen == NULL) /* nobody looked */
        observed->seen = seen_load(observed->store, weak);
    g_autoptr(GBytes) bytes = trace_encode(observed->trace);
    if (!store_batch_put(batch, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &trace,
                         error) ||
        !seen_record(observed->seen, batch, observed->trace,
                     observed->provided != NULL ? key : NULL, &entry, error))
        return false;
    *key = entry.key;
    keep(result, &entry.path_set);
    keep(result, &entry.values);
    keep(result, &trace);
    return true;
}

bool observed_keep(struct observed *observed, struct store_batch *batch, struct digest *out,
                   GError **error)
{
    return kept_record(observed->session, observed->store, batch, observed->trace, out, error);
}

/* --- times ------------------------------------------------------------------------------------ */

bool observed_has_learned(const struct observed *observed)
{
    return observed != NULL && trace_clock_dirty(observed->clock);
}

void observed_flush(struct observed *observed, struct store_batch *batch)
{
    if (observed != NULL)
        trace_clock_flush(observed->clock, batch);
}

void observed_learn(struct observed *observed, const struct tree *outputs,
                    const struct result *result, struct store_batch *batch)
{
    for (guint i = 0; i < result->extras->len; i++) {
        const struct output_extra *extra = result->extras->pdata[i];
        const struct tree_entry *entry = tree_lookup(outputs, extra->path);
        g_autofree char *path = g_build_filename(observed->session->root, extra->path, NULL);
        if (entry != NULL && entry->kind == TREE_FILE)
            trace_clock_set(observed->clock, path, &entry->digest, extra->mtime);
    }
    trace_clock_flush(observed->clock, batch);
}
