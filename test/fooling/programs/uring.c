// SPDX-License-Identifier: Apache-2.0
// build: -Wall
/* Prints the file "a", opened and read through io_uring where the kernel grants one. */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params parameters;
static int ring;
static char *submitted, *completed;
static struct io_uring_sqe *entries;

static int set_up(void)
{
    ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring < 0)
        return 0;
    size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t);
    size_t done = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
    int access = PROT_READ | PROT_WRITE;
    submitted = mmap(NULL, size, access, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    completed = mmap(NULL, done, access, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    entries = mmap(NULL, parameters.sq_entries * sizeof *entries, access, MAP_SHARED, ring,
                   IORING_OFF_SQES);
    return submitted != MAP_FAILED && completed != MAP_FAILED && (void *)entries != MAP_FAILED;
}

static int ask(const struct io_uring_sqe *entry)
{
    uint32_t *tail = (void *)(submitted + parameters.sq_off.tail);
    uint32_t mask = *(uint32_t *)(void *)(submitted + parameters.sq_off.ring_mask);
    uint32_t *array = (void *)(submitted + parameters.sq_off.array);
    uint32_t at = *tail & mask;
    entries[at] = *entry;
    array[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        return -1;
    uint32_t *head = (void *)(completed + parameters.cq_off.head);
    mask = *(uint32_t *)(void *)(completed + parameters.cq_off.ring_mask);
    struct io_uring_cqe *answer =
        (struct io_uring_cqe *)(void *)(completed + parameters.cq_off.cqes) + (*head & mask);
    int result = answer->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

int main(void)
{
    char text[4096];
    if (!set_up()) {
        int file = open("a", O_RDONLY);
        ssize_t size = read(file, text, sizeof text);
        return fwrite(text, 1, size > 0 ? (size_t)size : 0, stdout) == 0;
    }
    struct io_uring_sqe entry = {
        .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t) "a", .open_flags = O_RDONLY
    };
    int file = ask(&entry);
    entry = (struct io_uring_sqe){
        .opcode = IORING_OP_READ, .fd = file, .addr = (uintptr_t)text, .len = sizeof text
    };
    int size = file < 0 ? -1 : ask(&entry);
    return size < 0 || fwrite(text, 1, (size_t)size, stdout) == 0;
}
