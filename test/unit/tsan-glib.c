// SPDX-License-Identifier: Apache-2.0
/*
 * Tells the thread sanitizer what GLib's locks and counters order.
 *
 * GLib's mutexes are futexes inside a library that is not instrumented, so the sanitizer would take
 * everything that they guard for a race. These definitions take precedence in the test program, do
 * the real thing and say so. GLib's calls to itself do not come by here.
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

void g_mutex_lock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    REAL(g_mutex_lock)(mutex);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    gboolean locked = REAL(g_mutex_trylock)(mutex);
    __tsan_mutex_post_lock(mutex,
                           __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
    return locked;
}

void g_mutex_unlock(GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    REAL(g_mutex_unlock)(mutex);
    __tsan_mutex_post_unlock(mutex, 0);
}

void g_mutex_clear(GMutex *mutex)
{
    __tsan_mutex_destroy(mutex, 0);
    REAL(g_mutex_clear)(mutex);
}

static void released(GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
}

static void taken_again(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    released(mutex);
    REAL(g_cond_wait)(cond, mutex);
    taken_again(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    released(mutex);
    gboolean signalled = REAL(g_cond_wait_until)(cond, mutex, end_time);
    taken_again(mutex);
    return signalled;
}

gboolean g_atomic_ref_count_dec(gatomicrefcount *count)
{
    __tsan_release(count);
    gboolean last = REAL(g_atomic_ref_count_dec)(count);
    if (last)
        __tsan_acquire(count);
    return last;
}

/* Which of the holders frees is not known beforehand: order all of them. */
void g_bytes_unref(GBytes *bytes)
{
    if (bytes == NULL)
        return;
    __tsan_acquire(bytes);
    __tsan_release(bytes);
    REAL(g_bytes_unref)(bytes);
}
