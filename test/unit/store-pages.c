// SPDX-License-Identifier: Apache-2.0
/* The check of LMDB's pages, over files made by hand. */
#include "base/fd.h"
#include "store/store-disk.h"

#include <string.h>

enum {
    PAGE = 4096,
    BRANCH = 1,
    LEAF = 2,
    META = 8,
};

static void put16(guint8 *at, unsigned value)
{
    guint16 number = (guint16)value;
    memcpy(at, &number, sizeof number);
}

static void put64(guint8 *at, guint64 value)
{
    memcpy(at, &value, sizeof value);
}

/* Meta page `number`; both are of the transaction of that number. The tree's root is page 2. */
static void make_meta(guint8 *file, unsigned number, unsigned depth)
{
    guint8 *page = file + (size_t)number * PAGE, *meta = page + 16;
    const guint32 start[] = { 0xBEEFC0DE, 1 }, page_size = PAGE;
    put64(page, number);
    put16(page + 10, META);
    memcpy(meta, start, sizeof start);
    put64(meta + 16, 1 << 20);
    guint8 *free_tree = meta + 24, *tree = free_tree + 48;
    memcpy(free_tree, &page_size, sizeof page_size);
    put16(free_tree + 4, 8); /* integer keys */
    put64(free_tree + 40, G_MAXUINT64);
    put16(tree + 6, depth);
    put64(tree + 40, 2);
    put64(tree + 48, 4); /* the last page */
    put64(tree + 56, number);
}

/* Page `number` with two nodes of the keys "a" or "c", and "b" or "d": each 10 bytes long. */
static void make_page(guint8 *file, unsigned number, unsigned flags, const char keys[2],
                      const guint8 child[2])
{
    guint8 *page = file + (size_t)number * PAGE;
    put64(page, number);
    put16(page + 10, flags);
    put16(page + 12, 16 + 2 * 2);
    put16(page + 14, PAGE - 2 * 10);
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = PAGE - 10 * (i + 1);
        put16(page + 16 + 2 * i, at);
        page[at] = child[i]; /* of a leaf: the size of the value */
        put16(page + at + 6, 1);
        page[at + 8] = (guint8)keys[i];
    }
}

static bool check_all(const guint8 *file, struct store_pages *pages)
{
    autofd int descriptor = fd_from_bytes(file, 5 * PAGE, NULL);
    g_assert_cmpint(descriptor, >=, 0);
    bool ok = store_pages_open(pages, descriptor) && store_pages_check_free(pages) &&
              store_pages_check_all(pages);
    store_pages_release(pages);
    return ok;
}

static void a_sound_tree_is_sound(void)
{
    g_autofree guint8 *file = g_malloc0(5 * PAGE);
    struct store_pages pages;
    make_meta(file, 0, 2);
    make_meta(file, 1, 2);
    make_page(file, 2, BRANCH, "ac", (guint8[]){ 3, 4 });
    make_page(file, 3, LEAF, "ab", (guint8[]){ 0, 1 });
    make_page(file, 4, LEAF, "cd", (guint8[]){ 1, 0 });
    g_assert_true(check_all(file, &pages));
    make_page(file, 4, LEAF, "bd", (guint8[]){ 1, 0 });
    g_assert_false(check_all(file, &pages));
    g_assert_cmpstr(pages.damage, ==, "the keys of a page are not those of its place");
}

/* Each level twice as many visits: one that goes all the way never comes back. */
static void a_tree_that_contains_itself_is_damage(void)
{
    g_autofree guint8 *file = g_malloc0(5 * PAGE);
    struct store_pages pages;
    make_meta(file, 0, 32);
    make_meta(file, 1, 32);
    make_page(file, 2, BRANCH, "ac", (guint8[]){ 2, 2 });
    g_assert_false(check_all(file, &pages));
    g_assert_cmpstr(pages.damage, ==, "the keys of a page are not those of its place");
}

/* The same page on two levels: what was checked as a branch is no leaf. */
static void a_branch_is_not_taken_for_a_leaf(void)
{
    g_autofree guint8 *file = g_malloc0(5 * PAGE);
    struct store_pages pages;
    make_meta(file, 0, 2);
    make_meta(file, 1, 2);
    make_page(file, 2, BRANCH, "ac", (guint8[]){ 3, 2 });
    make_page(file, 3, LEAF, "ab", (guint8[]){ 0, 1 });
    g_assert_false(check_all(file, &pages));
    g_assert_cmpstr(pages.damage, ==, "a page is of the wrong kind");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/pages/a-sound-tree-is-sound", a_sound_tree_is_sound);
    g_test_add_func("/store/pages/a-tree-that-contains-itself-is-damage",
                    a_tree_that_contains_itself_is_damage);
    g_test_add_func("/store/pages/a-branch-is-not-taken-for-a-leaf",
                    a_branch_is_not_taken_for_a_leaf);
    return g_test_run();
}
