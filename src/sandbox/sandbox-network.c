// SPDX-License-Identifier: Apache-2.0
/*
 * The network namespace, which takes the kernel longer to make than all others and the mounts
 * together: a helper makes it while init mounts.
 *
 * The helper shares init's memory and descriptors, which spares a copy of both; so it makes bare
 * system calls only, on a stack of its own. What it shares against its will is errno: a failure
 * on one side may show on the other, where the sandbox then fails too.
 */
#include "sandbox/sandbox-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Programs and their tests expect 127.0.0.1 even where there is no network. */
__attribute__((no_sanitize("thread"))) static bool raise_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int made = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return errno == EAFNOSUPPORT;
    bool ok = syscall(SYS_ioctl, made, SIOCSIFFLAGS, &request) == 0;
    syscall(SYS_close, made);
    return ok;
}

/* Leaves the namespace's descriptor, or an errno made negative, in network->made. */
__attribute__((no_sanitize("thread"))) static int make_network(void *data)
{
    struct network *network = data;
    network->made = -1;
    if (syscall(SYS_unshare, CLONE_NEWNET) == 0 && raise_loopback())
        network->made =
            (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (network->made < 0)
        network->made = -errno;
    return 0;
}

bool sandbox_begin_network(struct network *network, struct report *report)
{
    network->helper = clone(make_network, network->stack + sizeof network->stack,
                            CLONE_VM | CLONE_FILES | SIGCHLD, network);
    return network->helper > 0 || sandbox_fail(report, "start the maker of", "the network");
}

bool sandbox_enter_network(struct network *network, struct report *report)
{
    while (waitpid(network->helper, NULL, 0) < 0 && errno == EINTR)
        continue;
    errno = -network->made;
    bool ok = network->made >= 0 && setns(network->made, CLONE_NEWNET) == 0;
    if (network->made >= 0)
        close(network->made);
    return ok || sandbox_fail(report, SANDBOX_CLONE, NULL);
}
