// SPDX-License-Identifier: Apache-2.0
/*
 * What capture and materialise share: a crew of threads for many small jobs, opening by path at any
 * depth, and the records of the stat cache (doc/format/stat.md).
 */
#ifndef STORE_CAPTURE_INTERNAL_H
#define STORE_CAPTURE_INTERNAL_H

#include "store/capture.h"

#include <pthread.h>
#include <sys/stat.h>

/* --- crew: threads that share a stack of work items --------------------------------------------
 */

/*
 * crew_run() works in the calling thread and starts helpers only once the work has proved to be
 * long: a thread costs more than a hundred cached files. All of them are joined before it returns,
 * since vial forks later. Signals stay with the caller's thread.
 */
struct crew_item {
    struct crew_item *next;
};

struct crew;

/* Do one item, which is the callee's from now on. Called after a failure too, to free it. */
typedef void (*crew_work)(struct crew *crew, struct crew_item *item, void *scratch, void *user);

/*
 * Work until no item is left. `scratch_size` bytes of uninitialised memory are each thread's own.
 * jobs == 0: one thread per processor. False with the first error that crew_fail() was given, or
 * FAULT_CANCELLED.
 */
bool crew_run(unsigned jobs, size_t scratch_size, const volatile int *cancel, crew_work work,
              void *user, struct crew_item *first, GError **error);

void crew_push(struct crew *crew, struct crew_item *item);
void crew_fail(struct crew *crew, GError *error); /* takes `error`; the first one wins */
bool crew_stopped(struct crew *crew);             /* failed or cancelled: drop what you do */

/* To be called now and then in a long item: lets waiting items have a helper. */
void crew_consider(struct crew *crew);

/* --- paths ------------------------------------------------------------------------------------ */

/*
 * fd_open_beneath() for a relative path of any length; "" is `directory` itself. -1 and errno.
 * One descriptor is held besides the result.
 */
int capture_open(int directory, const char *path, int flags);

/* "NAME/PATH/ENTRY", quoted for a message; path and entry may be "". Caller frees. */
char *capture_quote(const char *name, const char *path, const char *entry);

/* --- the records of the stat cache -------------------------------------------------------------
 */

struct stat_identity {
    guint64 inode;
    gint64 size, mtime, ctime; /* ns since the epoch */
};

/* An object of the store under another name: its ctime moves with its link count and says nothing.
 */
#define STAT_CTIME_ANY G_MININT64

enum stat_kind {   /* numbers are part of the format */
    STAT_NONE = 0, /* in memory only: nothing is known */
    STAT_FILE = 1,
    STAT_EXECUTABLE = 2, /* a file too */
    STAT_LINK = 3,
    STAT_DIRECTORY = 4,
    STAT_OTHER = 5, /* no directory; more is not known */
};

struct stat_entry {
    const char *name;
    enum stat_kind kind;
    struct stat_identity identity; /* files and links; directories: only the size, of the message */
    const guint8 *hash;            /* files, directories: DIGEST_HASH_SIZE bytes */
    const char *target;            /* links */
};

/* What a record says of the directory itself. */
struct stat_header {
    bool listed;     /* the entries are all there is, as long as the times are these */
    bool digested;   /* the tree of exactly these entries has `digest` */
    guint64 boot;    /* identifies the run of the kernel that wrote the record */
    gint64 recorded; /* when */
    gint64 mtime, ctime;
    struct digest digest;
    guint32 count; /* of entries */
};

void stat_identify(const struct stat *status, struct stat_identity *out);
bool stat_matches(const struct stat_identity *known, const struct stat_identity *now);

/* How a file system gives times to its files. */
struct stat_clock {
    gint64 slack;    /* ns: changes of one file that are further apart have different times */
    bool multigrain; /* each change after somebody asked has a time of its own, if the kernel can */
    bool listings;   /* a directory's times change with its names */
};
struct stat_clock stat_clock(int descriptor);
gint64 stat_now(void); /* on the clock that times come from */

/*
 * The racy rule: can a change after the moment `began` still go unseen? Then the identity is not
 * worth recording.
 */
bool stat_is_racy(const struct stat_identity *identity, gint64 began,
                  const struct stat_clock *clock);

/*
 * After power loss a young file may have its times and not its bytes. So what was young when it was
 * recorded is believed only by the run of the kernel that recorded it.
 */
bool stat_is_settled(const struct stat_identity *identity, const struct stat_header *header);
guint64 stat_boot(void);

/* `header->count` entries follow by ascending name. */
GByteArray *stat_record_new(const struct stat_header *header);
void stat_record_add(GByteArray *record, const struct stat_entry *entry);

/* Borrows the bytes, and so do the entries. Stops for good at what is malformed. */
struct stat_reader {
    const guint8 *at, *end;
    struct stat_header header;
    guint32 left; /* entries that have not been read */
    const char *last;
    bool failed;
};
void stat_reader_init(struct stat_reader *reader, GBytes *record);
bool stat_reader_next(struct stat_reader *reader, struct stat_entry *out);

#define STAT_KEY_SIZE 16
void stat_cache_key(guint8 key[STAT_KEY_SIZE], guint64 device, guint64 inode);

const volatile int *stat_cache_cancel(const struct stat_cache *cache);

/* The record of a directory, or NULL; and one to be flushed (takes `record`). */
GBytes *stat_cache_get(struct stat_cache *cache, guint64 device, guint64 inode);
void stat_cache_put(struct stat_cache *cache, guint64 device, guint64 inode, GByteArray *record);

/* The same by any key. */
GBytes *stat_cache_get_key(struct stat_cache *cache, const guint8 *key, size_t size);
void stat_cache_put_key(struct stat_cache *cache, const guint8 *key, size_t size, GBytes *record);

/* --- records of whole directories (capture-whole.c) --------------------------------------------
 */

#define WHOLE_KEY_SIZE (STAT_KEY_SIZE + DIGEST_HASH_SIZE) /* and the digest of the selection */
#define WHOLE_UNREADABLE 0x80000000u /* a directory that may not be read; beside st_mode */

struct whole_row {
    guint32 mode;
    struct stat_identity identity;
    const char *path; /* relative; "": the directory itself */
};

GByteArray *whole_record_new(guint64 boot, const struct digest *digest, guint32 count);
void whole_record_add(GByteArray *record, const struct whole_row *row);

/* Borrows the bytes, and so do the rows. Stops for good at what is malformed. */
struct whole_reader {
    const guint8 *at, *end;
    guint64 boot;
    struct digest digest;
    guint32 left; /* rows that have not been read */
    bool failed;
};
void whole_reader_init(struct whole_reader *reader, GBytes *record);
bool whole_reader_next(struct whole_reader *reader, struct whole_row *out);

/* The digest from the record, if there is one and nothing has changed since. */
bool whole_recall(const struct capture_request *request, struct digest *out);

#endif
