// SPDX-License-Identifier: Apache-2.0
/*
 * The differential oracle: random programs of file operations that are run twice, natively and
 * below the file system under test, and must give the same answers and leave the same tree.
 *
 * A *program* is a list of operations, each for one thread of one process. It is text, one
 * operation a line, so that a failing one can be cut down line by line, read and kept:
 *
 *     host create "a" 5000 17 644          before anything runs: what the host already has
 *     p0.0 open %2 "@/a" O_RDWR 0          thread 0 of process 0
 *     p1.0 & mkdir "@/q1/x" 755            adjoining lines with & run at the same time
 *
 * Operations happen in the order of the lines: threads hand on a baton through futexes, so that two
 * runs differ only by what the file system answers. Adjoining parallel lines are the exception; the
 * generator gives each process a directory of its own for them.
 *
 * An *answer* holds what POSIX or Linux fixes and nothing else: errno, digests of data, kind, mode,
 * link count, size; which open files are the same one, rather than inode numbers; a time only if it
 * was set by the program.
 *
 * A path begins with '@/' (absolute, at the program's root), '%N/' (at the descriptor in slot N),
 * or is relative to the working directory. An empty slot is descriptor -1: any line can be left
 * out.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#define PROCESSES 3
#define THREADS 2
#define SLOTS 8
#define MAPS 3
#define ARGUMENTS 6
#define HOST G_MAXUINT8 /* as `process`: before the run */

/*
 * Times that programs set lie here (2001 to 2005). Others are the clock's, which no two runs share,
 * or those that a view gives to what the host has.
 */
#define IS_CHOSEN_TIME(seconds) ((seconds) >= 1000000000 && (seconds) < 1100000000)

/* --- programs ----------------------------------------------------------------------------------
 */

struct argument {
    gint64 number;
    char *text; /* any bytes but NUL; NULL unless a path or a text */
};

struct kind;

struct op {
    const struct kind *kind;
    guint8 process, thread;
    bool parallel;
    struct argument arguments[ARGUMENTS];
};

struct program {
    char *name; /* names its directory */
    GArray *ops;
};

struct flag {
    const char *name;
    guint64 value;
};

struct actor;
struct answer;

/* `signature`, a letter per argument: s slot, m map, p path, t text, n number, o octal, f flags */
struct kind {
    const char *name, *signature;
    const struct flag *flags;
    void (*run)(struct actor *actor, const struct argument *arguments, struct answer *answer);
};

/* Every operation, by name; NULL if there is none. */
const struct kind *kind_find(const char *name);

struct program *program_new(const char *name);
void program_free(struct program *program);
typedef struct program program;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(program, program_free)

void program_print(const struct program *program, GString *out);

/* All programs of a text; `where` names it in errors. */
GPtrArray *programs_parse(const char *text, const char *where, GError **error);

/* The program of a seed, always the same one. */
struct program *program_generate(guint64 seed);

/* --- answers -----------------------------------------------------------------------------------
 */

#define ANSWER_SIZE 600

struct answer {
    guint32 length;
    char text[ANSWER_SIZE]; /* NUL-terminated; what does not fit becomes a digest */
};

void answer_add(struct answer *answer, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* "ok" or the name of errno; true if it was a success (value >= 0). */
bool answer_status(struct answer *answer, gint64 value);

/* Like answer_status() with the value, which is not a descriptor, in place of "ok". */
bool answer_number(struct answer *answer, gint64 value);

void answer_path(struct answer *answer, const struct actor *actor, const char *text);

/* Words in sorted order, separated by spaces; a digest of them if they are many. Sorts `words`. */
void answer_words(struct answer *answer, GPtrArray *words);

char *escape(const char *bytes);                       /* printable ASCII without space and '"' */
char *unescape(const char *text);                      /* NULL if malformed */
char *escape_path(const char *root, const char *text); /* with `root` written as '@' */
const char *errno_name(int number);                    /* "ENOENT" */

#define DIGEST_START 0xcbf29ce484222325ULL
guint64 digest_bytes(guint64 digest, const void *data, size_t size);

/* The same for a place in a file; blocks of zeros count as nothing, so that holes do not matter. */
guint64 digest_file(int file, gint64 *size);

/* Bytes that only a write of this `value` at this `offset` of its data leaves. */
void pattern_fill(void *data, size_t size, gint64 value);

/* --- running -----------------------------------------------------------------------------------
 */

struct map {
    char *address; /* NULL: none */
    size_t size;
    int file; /* of its own, so that the size can be asked for; not a slot */
    gint64 offset;
};

/* What the threads of one process share. */
struct process {
    int slots[SLOTS];
    struct map maps[MAPS];
};

struct actor {
    const char *root; /* absolute path of the program's directory */
    struct process *process;
    const pid_t *pids; /* of every process of the program */
};

/* Build what the program's host lines say below `root`, which is made. */
bool program_build(const struct program *program, const char *root, GError **error);

/*
 * Run the other lines below `root`, or one part of them ("I/N", from 0), and print an answer per
 * line. False: it hung, or a thread died.
 */
bool program_run(const struct program *program, const char *root, const char *part);

/*
 * Print everything below `top`: kind, mode, link group, size, content, user attributes, times; in
 * targets of links `root` is '@'.
 */
void tree_print(const char *top, const char *root);

/* --- for the operations ------------------------------------------------------------------------
 */

/* Where a path leads: for *at calls, and as one text for calls that know no directory. */
struct place {
    int directory;
    char *path;  /* relative to `directory`, or absolute */
    char *plain; /* absolute, relative to the working directory, or through /proc/self/fd */
};
void place_clear(struct place *place);
typedef struct place place;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(place, place_clear)
struct place actor_place(const struct actor *actor, const char *path);

int actor_slot(const struct actor *actor, gint64 slot);
void actor_put(struct actor *actor, gint64 slot, int descriptor); /* closes what was there */

/* Add what stat says of a file, and which slots of this process hold the same one. */
struct stat;
void answer_stat(struct answer *answer, const struct actor *actor, const struct stat *status);
const char *kind_of_mode(mode_t mode);

/* Copy between a mapping and a buffer; false if the kernel sent SIGBUS or SIGSEGV. */
bool memory_copy(void *to, const void *from, size_t size);
void memory_init(void);

extern const struct kind file_kinds[], name_kinds[], attribute_kinds[], lock_kinds[],
    memory_kinds[], list_kinds[], process_kinds[];

#endif
