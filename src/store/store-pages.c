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
    PAGE_META = 0x08
};
enum {
    NODE_BIG = 0x01,
    NODE_HEADER = 8,
    PAGE_HEADER = 16,
    MAX_PAGE_SIZE = 32768,
    MAX_DEPTH = 32
};
enum {
    DB_INTEGER_KEY = 0x08
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

/* --- meta pages ------------------------------------------------------------------------------- */

static const char *check_meta(const struct page *page, guint64 number, guint32 page_size,
                              struct meta *meta)
{
    memcpy(meta, (const guint8 *)page + PAGE_HEADER, sizeof *meta);
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

const char *store_pages_check_meta(const void *map, size_t file_size, struct store_pages *out)
{
    const struct page *first = map;
    struct meta meta[2];
    if (file_size < PAGE_HEADER + sizeof meta[0])
        return "data.mdb is cut short";
    memcpy(&meta[0], (const guint8 *)map + PAGE_HEADER, sizeof meta[0]);
    guint32 page_size = meta[0].tree[FREE_TREE].page_size;
    if (page_size < 512 || page_size > MAX_PAGE_SIZE || (page_size & (page_size - 1)) != 0)
        return "a meta page has an impossible page size";
    if (file_size < 2 * (size_t)page_size)
        return "data.mdb is cut short";
    const char *wrong = check_meta(first, 0, page_size, &meta[0]);
    if (wrong == NULL)
        wrong = check_meta((const struct page *)((const guint8 *)map + page_size), 1, page_size,
                           &meta[1]);
    if (wrong != NULL)
        return wrong;
    guint64 even = meta[0].transaction, odd = meta[1].transaction;
    if (even + 1 != odd && odd + 1 != even && !(even == 0 && odd == 0))
        return "the meta pages are not of successive transactions";
    const struct meta *now = odd > even ? &meta[1] : &meta[0];
    const struct meta *before = odd > even ? &meta[0] : &meta[1];
    guint64 next = now->last_page + 1;
    if (now->last_page < before->last_page || now->last_page > G_MAXUINT64 / 2 / page_size ||
        next > now->map_size / page_size)
        return "a meta page has an impossible last page";
    *out = (struct store_pages){ .map = map,
                                 .count = file_size / page_size,
                                 .next = next,
                                 .transaction = now->transaction,
                                 .page_size = page_size };
    for (int tree = 0; tree < 2; tree++) {
        out->root[tree] = now->tree[tree].root;
        out->depth[tree] = now->tree[tree].depth;
        if ((out->root[tree] == G_MAXUINT64) != (out->depth[tree] == 0))
            return "a meta page has a tree of the wrong depth";
    }
    return NULL;
}

void store_pages_release(struct store_pages *pages)
{
    g_clear_pointer(&pages->sound, g_hash_table_unref);
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

static const struct page *page_at(struct store_pages *pages, guint64 number)
{
    if (number < 2 || number >= pages->next || number >= pages->count) {
        damage(pages, "a page number is out of range");
        return NULL;
    }
    const struct page *page = (const struct page *)(pages->map + number * pages->page_size);
    if (page->number != number) {
        damage(pages, "a page is not the one that it should be");
        return NULL;
    }
    return page;
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

/* Keys ascend, from `low` on and below `high`. The first key of a branch page is not used. */
static bool keys_ascend(int tree, const struct page *page, bool leaf, struct key low,
                        struct key high)
{
    unsigned count = node_count(page);
    for (unsigned i = leaf ? 0 : 1; i < count; i++) {
        const struct node *node = node_at(page, i);
        struct key key = { node->data, node->key_size };
        if (tree == FREE_TREE && key.size != sizeof(guint64))
            return false;
        bool first = i == (leaf ? 0u : 1u);
        if (low.data != NULL) {
            int order = compare(tree, &low, &key);
            if (order > 0 || (order == 0 && !(first && leaf)))
                return false;
        }
        low = key;
    }
    return count == 0 || low.data == NULL || high.data == NULL || compare(tree, &low, &high) < 0;
}

/* `levels` below and including this one; the page at the last one is a leaf. */
static const struct page *check_page(struct store_pages *pages, int tree, guint64 number,
                                     unsigned levels, struct key low, struct key high)
{
    const struct page *page = page_at(pages, number);
    if (page == NULL || g_hash_table_contains(pages->sound, GSIZE_TO_POINTER(number)))
        return page;
    bool leaf = levels == 1;
    if (page->flags != (leaf ? PAGE_LEAF : PAGE_BRANCH))
        damage(pages, "a page is of the wrong kind");
    else if (page->lower < PAGE_HEADER || (page->lower & 1) != 0 || page->upper < page->lower ||
             page->upper > pages->page_size)
        damage(pages, "a page has impossible bounds");
    else if (node_count(page) < (leaf ? 1u : 2u))
        damage(pages, "a page is empty");
    else if (!nodes_tile(pages, page, leaf))
        damage(pages, "the nodes of a page do not fit together");
    else if (!keys_ascend(tree, page, leaf, low, high))
        damage(pages, "the keys of a page are out of order");
    if (pages->damage != NULL)
        return NULL;
    g_hash_table_add(pages->sound, GSIZE_TO_POINTER(number));
    return page;
}

static bool check_big(struct store_pages *pages, const struct node *node)
{
    if (node->flags != NODE_BIG)
        return true;
    const struct page *page = page_at(pages, big_page(node));
    if (page == NULL)
        return false;
    guint64 expected = (PAGE_HEADER - 1 + node_value_size(node)) / pages->page_size + 1;
    if (page->flags != PAGE_OVERFLOW || page->pages < expected ||
        page->pages > MIN(pages->next, pages->count) - page->number)
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

static void prepare(struct store_pages *pages)
{
    if (pages->sound == NULL)
        pages->sound = g_hash_table_new(NULL, NULL);
}

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
        const struct node *node = node_at(page, i);
        const struct node *after = i + 1 < count ? node_at(page, i + 1) : NULL;
        struct key from = i == 0 ? low : (struct key){ node->data, node->key_size };
        struct key to = after == NULL ? high : (struct key){ after->data, after->key_size };
        if (!check_tree(pages, tree, node_child(node), levels - 1, from, to, check))
            return false;
    }
    return true;
}

/* A leaf of the list of free pages: each value a count and that many page numbers, descending. */
static bool check_free_leaf(struct store_pages *pages, const struct page *leaf)
{
    for (unsigned i = 0; i < node_count(leaf); i++) {
        const struct node *node = node_at(leaf, i);
        if (!check_big(pages, node))
            return false;
        const guint8 *list = node->flags == NODE_BIG
                                 ? pages->map + big_page(node) * pages->page_size + PAGE_HEADER
                                 : node->data + node->key_size;
        guint64 size = node_value_size(node), count, previous = pages->next;
        if (size < sizeof count || size % sizeof count != 0)
            return damage(pages, "a list of free pages has an impossible size");
        memcpy(&count, list, sizeof count);
        if (count > size / sizeof count - 1)
            return damage(pages, "a list of free pages is too long");
        for (guint64 j = 1; j <= count; j++) {
            guint64 number;
            memcpy(&number, list + j * sizeof number, sizeof number);
            if (number < 2 || number >= previous)
                return damage(pages, "a list of free pages is out of order");
            previous = number;
        }
    }
    return true;
}

bool store_pages_check_free(struct store_pages *pages)
{
    struct key none = { NULL, 0 };
    prepare(pages);
    return pages->depth[FREE_TREE] == 0 ||
           check_tree(pages, FREE_TREE, pages->root[FREE_TREE], pages->depth[FREE_TREE], none, none,
                      check_free_leaf);
}

bool store_pages_check_all(struct store_pages *pages)
{
    struct key none = { NULL, 0 };
    prepare(pages);
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
        const struct node *node = node_at(page, middle);
        int order = compare(MAIN_TREE, &(struct key){ node->data, node->key_size }, key);
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
    prepare(pages);
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
            low = (struct key){ node->data, node->key_size };
        if (index + 1 < node_count(page)) {
            const struct node *after = node_at(page, index + 1);
            high = (struct key){ after->data, after->key_size };
        }
        number = node_child(node);
    }
    return true;
}
