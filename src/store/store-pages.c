// SPDX-License-Identifier: Apache-2.0
/*
 * Checks pages of LMDB's data file before LMDB changes them.
 *
 * LMDB 0.9 has no page checksums. Reading a damaged page ends in a miss, an error or a signal,
 * which the guard catches. *Changing* one is worse: mdb_page_touch() and the node functions copy
 * and move within a heap copy by the offsets that the page itself gives, so a flipped bit there
 * overwrites our heap. So every page on the way to a key is checked for all that LMDB will rely on:
 * number, flags, offsets, that the nodes tile their half of the page, that keys are in order and
 * within the bounds that the parent gives. The same for the list of free pages, which decides where
 * LMDB writes. What remains undetected (a flipped bit in a value, in a key, one page number for
 * another that fits) leads to sound pages with wrong content, and content carries its own digests.
 *
 * The structures below are the file format of LMDB 0.9 (data version 1), in the machine's byte
 * order, as the file is.
 */
#include "store/store-disk.h"

#include <errno.h>
#include <unistd.h>

#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u

enum {
    FREE_TREE = 0,
    MAIN_TREE = 1
};

enum page_flags {
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
};

enum {
    NODE_BIG = 0x01,
    NODE_HEADER = 8,
    PAGE_HEADER = 16,
    MAX_PAGE_SIZE = 32768,
    MAX_DEPTH = 32,
    DB_INTEGER_KEY = 0x08,
};

enum {
    LIST_CHUNK = 64 << 10, /* bytes of a list of free pages that are read at once */
};

struct page {
    guint64 number;
    guint16 pad, flags;
    union {
        struct {
            guint16 lower, upper; /* the free space between offsets and nodes */
        };
        guint32 pages; /* of an overflow run */
    };
    guint16 offset[];
};
G_STATIC_ASSERT(sizeof(struct page) == PAGE_HEADER);

struct node {
    guint16 low, high; /* in the order that makes them one 32-bit number */
    guint16 flags, key_size;
    guint8 data[];
};
G_STATIC_ASSERT(sizeof(struct node) == NODE_HEADER);

struct database {
    guint32 page_size; /* of the list of free pages: the page size of the file */
    guint16 flags, depth;
    guint64 branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta {
    guint32 magic, version;
    guint64 address, map_size;
    struct database tree[2];
    guint64 last_page, transaction;
};

struct key {
    const guint8 *data; /* NULL: no bound */
    size_t size;
};

static bool damage(struct store_pages *pages, const char *what)
{
    pages->damage = what;
    return false;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_at(const struct store_pages *pages, void *buffer, size_t size, guint64 offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count =
            pread(pages->file, (guint8 *)buffer + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false; /* cut short, or not readable: damage in either case */
        done += (size_t)count;
    }
    return true;
}

/* --- meta pages ------------------------------------------------------------------------------- */

static const char *check_meta(const struct page *page, guint64 number, guint32 page_size,
                              const struct meta *meta)
{
    const struct database *free = &meta->tree[FREE_TREE], *main = &meta->tree[MAIN_TREE];
    if (page->number != number || page->flags != PAGE_META)
        return "a meta page is not one";
    if (meta->magic != META_MAGIC || meta->version != META_VERSION || meta->address != 0)
        return "a meta page has another format";
    if (free->page_size != page_size || main->page_size != 0)
        return "a meta page has another page size";
    if (free->flags != DB_INTEGER_KEY || main->flags != 0)
        return "a meta page has other flags";
    if (free->depth > MAX_DEPTH || main->depth > MAX_DEPTH)
        return "a meta page has a tree too deep";
    if (meta->transaction != 0 && (meta->transaction & 1) != number)
        return "a meta page has the other's transaction number";
    return NULL;
}

/* `now` is the newer of two meta pages. */
static const char *adopt(struct store_pages *pages, const struct meta *now,
                         const struct meta *before)
{
    guint64 next = now->last_page + 1;
    if (now->last_page < before->last_page || now->last_page > G_MAXUINT64 / 2 / pages->page_size ||
        next > now->map_size / pages->page_size)
        return "a meta page has an impossible last page";
    pages->next = next;
    pages->transaction = now->transaction;
    for (int tree = 0; tree < 2; tree++) {
        pages->root[tree] = now->tree[tree].root;
        pages->depth[tree] = now->tree[tree].depth;
        if ((pages->root[tree] == G_MAXUINT64) != (pages->depth[tree] == 0))
            return "a meta page has a tree of the wrong depth";
    }
    return NULL;
}

bool store_pages_open(struct store_pages *pages, int file)
{
    struct {
        struct page page;
        struct meta meta;
    } found[2];
    *pages = (struct store_pages){ .file = file };
    if (!read_at(pages, &found[0], sizeof found[0], 0))
        return damage(pages, "data.mdb is cut short");
    guint32 page_size = found[0].meta.tree[FREE_TREE].page_size;
    if (page_size < 512 || page_size > MAX_PAGE_SIZE || (page_size & (page_size - 1)) != 0)
        return damage(pages, "a meta page has an impossible page size");
    pages->page_size = page_size;
    if (!read_at(pages, &found[1], sizeof found[1], page_size))
        return damage(pages, "data.mdb is cut short");
    const char *wrong = NULL;
    for (guint64 number = 0; number < 2 && wrong == NULL; number++)
        wrong = check_meta(&found[number].page, number, page_size, &found[number].meta);
    guint64 even = found[0].meta.transaction, odd = found[1].meta.transaction;
    if (wrong == NULL && even + 1 != odd && odd + 1 != even && !(even == 0 && odd == 0))
        wrong = "the meta pages are not of successive transactions";
    if (wrong == NULL)
        wrong = adopt(pages, &found[odd > even].meta, &found[odd <= even].meta);
    if (wrong != NULL)
        return damage(pages, wrong);
    for (int tree = 0; tree < 2; tree++)
        pages->branches[tree] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    pages->leaf = g_malloc(page_size);
    return true;
}

void store_pages_release(struct store_pages *pages)
{
    for (int tree = 0; tree < 2; tree++)
        g_clear_pointer(&pages->branches[tree], g_hash_table_unref);
    g_clear_pointer(&pages->leaf, g_free);
}

/* --- one page --------------------------------------------------------------------------------- */

static const struct node *node_at(const struct page *page, unsigned index)
{
    return (const struct node *)((const guint8 *)page + page->offset[index]);
}

static unsigned node_count(const struct page *page)
{
    return (page->lower - PAGE_HEADER) / 2u;
}

static guint64 node_value_size(const struct node *node)
{
    guint32 size;
    memcpy(&size, node, sizeof size);
    return size;
}

static guint64 node_child(const struct node *node)
{
    return (guint64)node->low | (guint64)node->high << 16 | (guint64)node->flags << 32;
}

static guint64 big_page(const struct node *node)
{
    guint64 number;
    memcpy(&number, node->data + node->key_size, sizeof number);
    return number;
}

/* Bytes that a node takes in its page, even; 0: flags that we never write. */
static size_t node_space(const struct node *node, bool leaf)
{
    size_t size = NODE_HEADER + (size_t)node->key_size;
    if (leaf && node->flags == NODE_BIG)
        size += sizeof(guint64);
    else if (leaf && node->flags == 0)
        size += node_value_size(node);
    else if (leaf)
        return 0;
    return size + (size & 1);
}

static int compare(int tree, const struct key *a, const struct key *b)
{
    if (tree == FREE_TREE) {
        guint64 x, y;
        memcpy(&x, a->data, sizeof x);
        memcpy(&y, b->data, sizeof y);
        return x < y ? -1 : x > y;
    }
    int order = memcmp(a->data, b->data, MIN(a->size, b->size));
    return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

static bool is_in_range(struct store_pages *pages, guint64 number)
{
    return (number >= 2 && number < pages->next) || damage(pages, "a page number is out of range");
}

/* A copy of page `number`, in `into`. */
static bool read_page(struct store_pages *pages, guint64 number, struct page *into)
{
    if (!is_in_range(pages, number))
        return false;
    if (!read_at(pages, into, pages->page_size, number * pages->page_size))
        return damage(pages, "a page is cut short");
    return into->number == number || damage(pages, "a page is not the one that it should be");
}

/* The nodes must fill the page from `upper` to its end, without gap or overlap, in any order. */
static bool nodes_tile(const struct store_pages *pages, const struct page *page, bool leaf)
{
    guint8 starts[MAX_PAGE_SIZE / 2 / 8 + 1] = { 0 };
    size_t total = 0;
    unsigned count = node_count(page);
    for (unsigned i = 0; i < count; i++) {
        size_t at = page->offset[i];
        if (at < page->upper || (at & 1) != 0 || at + NODE_HEADER > pages->page_size)
            return false;
        size_t space = node_space(node_at(page, i), leaf);
        if (space == 0 || space > pages->page_size - at ||
            (starts[at / 16] & 1u << at / 2 % 8) != 0)
            return false;
        starts[at / 16] |= (guint8)(1u << at / 2 % 8);
        total += space;
    }
    for (unsigned i = 0; i < count; i++) {
        size_t end = page->offset[i] + node_space(node_at(page, i), leaf);
        if (end < pages->page_size && (starts[end / 16] & 1u << end / 2 % 8) == 0)
            return false;
    }
    return total == pages->page_size - page->upper;
}

static struct key key_at(const struct page *page, unsigned index)
{
    const struct node *node = node_at(page, index);
    return (struct key){ node->data, node->key_size };
}

/* The first key of a branch page is not used. */
static bool keys_ascend(int tree, const struct page *page, bool leaf)
{
    unsigned count = node_count(page), first = leaf ? 0 : 1;
    for (unsigned i = first; i < count; i++) {
        struct key key = key_at(page, i);
        if (tree == FREE_TREE && key.size != sizeof(guint64))
            return false;
        struct key before = i > first ? key_at(page, i - 1) : key;
        if (i > first && compare(tree, &before, &key) >= 0)
            return false;
    }
    return true;
}

/* Do the keys of a sound page lie from `low` on (a branch's above it) and below `high`? */
static bool is_between(int tree, const struct page *page, bool leaf, struct key low,
                       struct key high)
{
    struct key first = key_at(page, leaf ? 0 : 1), last = key_at(page, node_count(page) - 1);
    int order = low.data == NULL ? -1 : compare(tree, &low, &first);
    return (order < 0 || (order == 0 && leaf)) &&
           (high.data == NULL || compare(tree, &last, &high) < 0);
}

/* What LMDB relies on within one page. */
static bool is_sound(struct store_pages *pages, int tree, const struct page *page, bool leaf)
{
    if (page->flags != (leaf ? PAGE_LEAF : PAGE_BRANCH))
        return damage(pages, "a page is of the wrong kind");
    if (page->lower < PAGE_HEADER || (page->lower & 1) != 0 || page->upper < page->lower ||
        page->upper > pages->page_size)
        return damage(pages, "a page has impossible bounds");
    if (node_count(page) < (leaf ? 1u : 2u))
        return damage(pages, "a page is empty");
    if (!nodes_tile(pages, page, leaf))
        return damage(pages, "the nodes of a page do not fit together");
    return keys_ascend(tree, page, leaf) || damage(pages, "the keys of a page are out of order");
}

/*
 * Branch pages stay until the end, leaves until the next leaf: a walk holds on to the keys of the
 * branches that it came by.
 */
static const struct page *sound_page(struct store_pages *pages, int tree, guint64 number, bool leaf)
{
    if (leaf)
        return read_page(pages, number, pages->leaf) && is_sound(pages, tree, pages->leaf, true)
                   ? pages->leaf
                   : NULL;
    struct page *page = g_hash_table_lookup(pages->branches[tree], GSIZE_TO_POINTER(number));
    if (page != NULL)
        return page;
    page = g_malloc(pages->page_size);
    if (read_page(pages, number, page) && is_sound(pages, tree, page, false)) {
        g_hash_table_insert(pages->branches[tree], GSIZE_TO_POINTER(number), page);
        return page;
    }
    g_free(page);
    return NULL;
}

/*
 * `levels` below and including this one; the page at the last one is a leaf. No page fits between
 * the bounds of two places, so every walk ends, whatever the page numbers say.
 */
static const struct page *check_page(struct store_pages *pages, int tree, guint64 number,
                                     unsigned levels, struct key low, struct key high)
{
    bool leaf = levels == 1;
    const struct page *page = sound_page(pages, tree, number, leaf);
    if (page == NULL || is_between(tree, page, leaf, low, high))
        return page;
    damage(pages, "the keys of a page are not those of its place");
    return NULL;
}

static bool check_big(struct store_pages *pages, const struct node *node)
{
    if (node->flags != NODE_BIG)
        return true;
    struct page page;
    guint64 number = big_page(node);
    if (!is_in_range(pages, number))
        return false;
    if (!read_at(pages, &page, sizeof page, number * pages->page_size))
        return damage(pages, "a large value is cut short");
    guint64 expected = (PAGE_HEADER - 1 + node_value_size(node)) / pages->page_size + 1;
    if (page.number != number || page.flags != PAGE_OVERFLOW || page.pages < expected ||
        page.pages > pages->next - number)
        return damage(pages, "a large value has the wrong number of pages");
    return true;
}

bool store_pages_contain(const void *value, size_t size, size_t page_size, size_t map_size)
{
    size_t offset = (size_t)((uintptr_t)value & (page_size - 1));
    if (offset != PAGE_HEADER) /* in a leaf: nodes begin further on */
        return size <= page_size - offset;
    const struct page *page = (const struct page *)((const guint8 *)value - PAGE_HEADER);
    guint64 count = map_size / page_size;
    return page->flags == PAGE_OVERFLOW && page->number < count &&
           page->pages <= count - page->number && size <= page->pages * page_size - PAGE_HEADER;
}

/* --- walks ------------------------------------------------------------------------------------ */

typedef bool (*check_leaf)(struct store_pages *pages, const struct page *leaf);

static bool check_tree(struct store_pages *pages, int tree, guint64 number, unsigned levels,
                       struct key low, struct key high, check_leaf check)
{
    const struct page *page = check_page(pages, tree, number, levels, low, high);
    if (page == NULL)
        return false;
    if (levels == 1)
        return check == NULL || check(pages, page);
    unsigned count = node_count(page);
    for (unsigned i = 0; i < count; i++) {
        struct key from = i == 0 ? low : key_at(page, i);
        struct key to = i + 1 < count ? key_at(page, i + 1) : high;
        if (!check_tree(pages, tree, node_child(node_at(page, i)), levels - 1, from, to, check))
            return false;
    }
    return true;
}

/* The numbers in `list` descend, from below *previous on. */
static bool check_numbers(struct store_pages *pages, const guint8 *list, guint64 count,
                          guint64 *previous)
{
    for (guint64 i = 0; i < count; i++) {
        guint64 number;
        memcpy(&number, list + i * sizeof number, sizeof number);
        if (number < 2 || number >= *previous)
            return damage(pages, "a list of free pages is out of order");
        *previous = number;
    }
    return true;
}

/* The same for a list at `offset` of the file, which may be of many pages. */
static bool check_big_list(struct store_pages *pages, guint64 offset, guint64 count)
{
    guint64 previous = pages->next;
    g_autofree guint8 *chunk = g_malloc(LIST_CHUNK);
    for (guint64 done = 0; done < count;) {
        guint64 part = MIN(count - done, LIST_CHUNK / sizeof(guint64));
        if (!read_at(pages, chunk, part * sizeof(guint64), offset + done * sizeof(guint64)))
            return damage(pages, "a list of free pages is cut short");
        if (!check_numbers(pages, chunk, part, &previous))
            return false;
        done += part;
    }
    return true;
}

/* One value of the list of free pages: a count and that many page numbers. */
static bool check_list(struct store_pages *pages, const struct node *node)
{
    guint64 size = node_value_size(node), count, previous = pages->next;
    guint64 offset = 0;
    const guint8 *list = node->data + node->key_size;
    if (size < sizeof count || size % sizeof count != 0)
        return damage(pages, "a list of free pages has an impossible size");
    if (!check_big(pages, node))
        return false;
    if (node->flags == NODE_BIG) {
        offset = big_page(node) * pages->page_size + PAGE_HEADER;
        if (!read_at(pages, &count, sizeof count, offset))
            return damage(pages, "a list of free pages is cut short");
    } else {
        memcpy(&count, list, sizeof count);
    }
    if (count > size / sizeof count - 1)
        return damage(pages, "a list of free pages is too long");
    return node->flags == NODE_BIG ? check_big_list(pages, offset + sizeof count, count)
                                   : check_numbers(pages, list + sizeof count, count, &previous);
}

static bool check_free_leaf(struct store_pages *pages, const struct page *leaf)
{
    for (unsigned i = 0; i < node_count(leaf); i++)
        if (!check_list(pages, node_at(leaf, i)))
            return false;
    return true;
}

bool store_pages_check_free(struct store_pages *pages)
{
    struct key none = { NULL, 0 };
    return pages->depth[FREE_TREE] == 0 ||
           check_tree(pages, FREE_TREE, pages->root[FREE_TREE], pages->depth[FREE_TREE], none, none,
                      check_free_leaf);
}

bool store_pages_check_all(struct store_pages *pages)
{
    struct key none = { NULL, 0 };
    return pages->depth[MAIN_TREE] == 0 || check_tree(pages, MAIN_TREE, pages->root[MAIN_TREE],
                                                      pages->depth[MAIN_TREE], none, none, NULL);
}

/* The last node whose key is not above `key`; branch pages have an implied lowest one. */
static unsigned search(const struct page *page, bool leaf, const struct key *key, bool *exact)
{
    unsigned low = leaf ? 0 : 1, high = node_count(page);
    *exact = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct key found = key_at(page, middle);
        int order = compare(MAIN_TREE, &found, key);
        if (order == 0) {
            *exact = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

bool store_pages_check_key(struct store_pages *pages, const void *data, size_t size)
{
    struct key key = { data, size }, low = { NULL, 0 }, high = { NULL, 0 };
    guint64 number = pages->root[MAIN_TREE];
    for (unsigned levels = pages->depth[MAIN_TREE]; levels > 0; levels--) {
        const struct page *page = check_page(pages, MAIN_TREE, number, levels, low, high);
        if (page == NULL)
            return false;
        bool exact;
        unsigned index = search(page, levels == 1, &key, &exact);
        const struct node *node = node_at(page, index);
        if (levels == 1)
            return !exact || check_big(pages, node);
        if (index > 0)
            low = key_at(page, index);
        if (index + 1 < node_count(page))
            high = key_at(page, index + 1);
        number = node_child(node);
    }
    return true;
}
