#include "core/engine/exec_wire.h"

#include "core/base/mem.h"
#include "core/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_OBJECTS = 1 << 20, HAS_BODY = 1, HAS_FD = 2 };

typedef struct head {
    uint32_t type, flags;
    uint64_t size;
} head;

// --- packets ---

static int memory_file(const void *bytes, size_t size, int *fd, fr_err *err)
{
    *fd = memfd_create("flowrun-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) {
        return fr_fail_errno(err, FR_EIO, "memory for a message to a worker process");
    }
    return fr_sys_write(*fd, bytes, size, "a message to a worker process", err);
}

int fr_wire_packet(uint32_t type, const void *bytes, size_t size, int fd, wire_packet **out,
                   fr_err *err)
{
    bool small = size <= WIRE_INLINE;
    wire_packet *p = fr_zalloc(sizeof *p + (small ? size : 0));
    *p = (wire_packet){.type = type, .size = size, .body_fd = -1, .fd = fd};
    int rc = FR_OK;
    if (small && size > 0) {
        memcpy(p->bytes, bytes, size);
    } else if (!small) {
        rc = memory_file(bytes, size, &p->body_fd, err);
    }
    if (rc != FR_OK) {
        fr_wire_packet_free(p);
        p = NULL;
    }
    *out = p;
    return rc;
}

void fr_wire_packet_free(wire_packet *p)
{
    if (p != NULL) {
        fr_sys_close(p->body_fd);
        fr_sys_close(p->fd);
        fr_free(p);
    }
}

static size_t put_fds(const wire_packet *p, int *fds)
{
    size_t n = 0;
    if (p->body_fd >= 0) {
        fds[n++] = p->body_fd;
    }
    if (p->fd >= 0) {
        fds[n++] = p->fd;
    }
    return n;
}

int fr_wire_send(int socket, const wire_packet *p, int flags)
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    head h = {.type = p->type, .size = p->size};
    h.flags = (p->body_fd >= 0 ? HAS_BODY : 0U) | (p->fd >= 0 ? HAS_FD : 0U);
    struct iovec parts[2] = {{.iov_base = &h, .iov_len = sizeof h},
                             {.iov_base = (void *)(uintptr_t)p->bytes,
                              .iov_len = p->body_fd < 0 ? p->size : 0}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    int fds[2];
    size_t n = put_fds(p, fds);
    if (n > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &m, MSG_NOSIGNAL | flags);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? 0 : errno;
}

// --- receiving ---

static size_t take_fds(struct msghdr *m, int *fds)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
        return 0;
    }
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return n;
}

static bool read_body(wire_in *in, int fd, uint64_t size)
{
    struct stat s;
    if (size > WIRE_MOST || fstat(fd, &s) != 0 || (uint64_t)s.st_size != size) {
        return false;
    }
    in->owned = fr_try_alloc((size_t)size);
    in->bytes = in->owned;
    in->size = (size_t)size;
    return in->owned != NULL && pread(fd, in->owned, in->size, 0) == (ssize_t)size;
}

int fr_wire_receive(int socket, wire_in *in, int flags)
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control;
    in->fd = -1;
    in->owned = NULL;
    head h;
    struct iovec parts[2] = {{.iov_base = &h, .iov_len = sizeof h},
                             {.iov_base = in->room, .iov_len = sizeof in->room}};
    struct msghdr m = {.msg_iov = parts,
                       .msg_iovlen = 2,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do {
        got = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | flags);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return 0;
    }
    int fds[2] = {-1, -1};
    size_t n = got >= 0 ? take_fds(&m, fds) : 0, used = 0;
    bool good = got >= (ssize_t)sizeof h;
    if (good) {
        in->type = h.type;
        in->bytes = in->room;
        in->size = (size_t)got - sizeof h;
    }
    if (good && (h.flags & HAS_BODY) != 0) {
        good = n > 0 && read_body(in, fds[used++], h.size);
        fr_sys_close(fds[0]);
    }
    if (good && (h.flags & HAS_FD) != 0) {
        good = used < n;
        in->fd = good ? fds[used] : -1;
    }
    if (!good) {
        fr_wire_in_fini(in);
        return -1;
    }
    return 1;
}

void fr_wire_in_fini(wire_in *in)
{
    fr_sys_close(in->fd);
    fr_free(in->owned);
    in->fd = -1;
    in->owned = NULL;
}

// --- values ---

void fr_wire_put_text(fr_buf *b, const char *text)
{
    size_t n = text != NULL ? strlen(text) + 1 : 0;
    fr_buf_put_varint(b, n);
    fr_buf_put(b, text != NULL ? text : "", n);
}

const char *fr_wire_read_text(fr_reader *r)
{
    uint64_t n = fr_read_varint(r);
    const uint8_t *text = n > 0 && n < WIRE_MOST ? fr_read_bytes(r, (size_t)n) : NULL;
    if (text != NULL && text[n - 1] != '\0') {
        r->failed = true;
        return NULL;
    }
    return (const char *)text;
}

static void put_hash(fr_buf *b, fr_hash hash)
{
    uint8_t bytes[16];
    fr_hash_store(hash, bytes);
    fr_buf_put(b, bytes, sizeof bytes);
}

void fr_wire_put_value(fr_buf *b, const fr_value *v)
{
    fr_buf_put_varint(b, v != NULL ? v->size : 0);
    if (v == NULL) {
        return;
    }
    fr_buf_put(b, v->bytes, v->size);
    fr_buf_put_varint(b, v->handles);
    fr_buf_put_varint(b, v->objects);
    for (uint32_t i = 0; i < v->objects; i++) {
        put_hash(b, v->object[i]->ops->hash(v->object[i]));
    }
}

static fr_object **find_objects(fr_reader *r, uint64_t n, wire_find_fn find, void *ctx)
{
    fr_object **list = fr_zalloc(FR_MAX((size_t)n, 1) * sizeof(fr_object *));
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *hash = fr_read_bytes(r, 16);
        list[i] = hash != NULL ? find(ctx, fr_hash_load(hash)) : NULL;
        r->failed = r->failed || list[i] == NULL;
    }
    return list;
}

int fr_wire_read_value(fr_reader *r, wire_find_fn find, void *ctx, bool check,
                       fr_value **out, fr_err *err)
{
    *out = NULL;
    uint64_t size = fr_read_varint(r);
    if (size == 0 && !r->failed) {
        return FR_OK;
    }
    const uint8_t *bytes = size <= FR_VALUE_MAX ? fr_read_bytes(r, (size_t)size) : NULL;
    uint64_t handles = fr_read_varint(r), n = fr_read_varint(r);
    if (bytes == NULL || r->failed || n > MOST_OBJECTS) {
        r->failed = true;
        return fr_fail(err, FR_ECORRUPT, "a damaged message");
    }
    fr_object **objects = find_objects(r, n, find, ctx);
    int rc = FR_OK;
    if (r->failed) {
        rc = fr_fail(err, FR_ECORRUPT, "a damaged message: an object is missing");
    } else if (check) {
        rc = fr_value_parse(bytes, (size_t)size, objects, (uint32_t)n, out, err);
    } else {
        *out = fr_value_new_counted(bytes, (size_t)size, objects, (uint32_t)n,
                                    (uint32_t)handles);
    }
    for (uint64_t i = 0; i < n; i++) {
        fr_object_unref(objects[i]);
    }
    fr_free(objects);
    return rc;
}

// --- objects ---

static void fd_path(int fd, char *out, size_t size)
{
    (void)snprintf(out, size, "/proc/self/fd/%d", fd);
}

int fr_wire_object(const fr_object *o, wire_packet **out, fr_err *err)
{
    *out = NULL;
    int fd = memfd_create("flowrun-object", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return fr_fail_errno(err, FR_EIO, "memory for a %s", o->ops->name);
    }
    char path[64];
    fd_path(fd, path, sizeof path);
    int rc = o->ops->save(o, path, err);
    if (rc != FR_OK) {
        (void)close(fd);
        return fr_wrap(err, rc, "a %s for a worker process", o->ops->name);
    }
    uint8_t body[17] = {o->ops->kind};
    fr_hash_store(o->ops->hash(o), body + 1);
    return fr_wire_packet(WIRE_OBJECT, body, sizeof body, fd, out, err);
}

int fr_wire_load(const wire_in *in, fr_object_kinds kinds, fr_hash *hash, fr_object **out,
                 fr_err *err)
{
    *out = NULL;
    if (in->size != 17 || in->fd < 0) {
        return fr_fail(err, FR_ECORRUPT, "a damaged message: not an object");
    }
    const fr_object_ops *ops = fr_object_kind(kinds, in->bytes[0]);
    if (ops == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED, "an object of the unknown kind %u", in->bytes[0]);
    }
    *hash = fr_hash_load(in->bytes + 1);
    // What is mapped must not shrink under its reader.
    (void)fcntl(in->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    char path[64];
    fd_path(in->fd, path, sizeof path);
    return ops->load(path, out, err);
}
