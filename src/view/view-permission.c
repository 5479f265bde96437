// SPDX-License-Identifier: Apache-2.0
/*
 * Who may do what. The kernel leaves this to us (there is no default_permissions): it would have to
 * ask for the attributes of everything it walks through, and those who ask for attributes learn
 * more than those who pass by.
 */
#include "view/view-internal.h"

#include <unistd.h>

bool permission_owns(const struct request *request, const struct node *node)
{
    return request->header->uid == 0 || request->header->uid == node->uid;
}

/*
 * What a file of somebody else's allows us, below, is what it allows the caller. What it allowed
 * once it goes on allowing, as its content and its mode stay what they were: every name that is
 * looked up asks for its directory again.
 */
static int ask_host(struct request *request, struct node *node, int mask)
{
    if ((mask & ~node->granted) == 0)
        return 0;
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    struct below *below = request->view->below;
    int rc = below->operations->permit(below, path->str, mask);
    if (rc == 0)
        node->granted |= (guint8)mask;
    return rc;
}

int permission(struct request *request, struct node *node, int mask)
{
    guint32 mode = node->mode, uid = request->header->uid;
    if (request->view->fixed && (mask & W_OK) != 0)
        return -EROFS;
    if (uid == 0) {
        bool executable = S_ISDIR(mode) || (mode & 0111) != 0;
        return (mask & X_OK) != 0 && !executable ? -EACCES : 0;
    }
    if (node->below && !node->changed && !request->view->privileged)
        return ask_host(request, node, mask);
    guint32 granted = uid == node->uid                    ? mode >> 6
                      : request->header->gid == node->gid ? mode >> 3
                                                          : mode;
    return ((guint32)mask & ~granted & 7) != 0 ? -EACCES : 0;
}

int permission_to_change(struct request *request, struct node *directory)
{
    if (!S_ISDIR(directory->mode))
        return -ENOTDIR;
    if (directory->names == NULL && directory->id != FUSE_ROOT_ID) /* it was removed */
        return -ENOENT;
    return permission(request, directory, W_OK | X_OK);
}
