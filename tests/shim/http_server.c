// An HTTP server for specs: `http_server DIR` returns when it listens, and goes on in a process
// of its own until /quit is asked or two minutes are over. DIR/port is its port.
//
// Each request appends "METHOD PATH KEY BODY" to DIR/requests (KEY: Idempotency-Key) and takes
// the first word of DIR/answers as its status; the last word stays. No file: 200.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 16, LIFE_S = 120 };

static int next_status(void)
{
    char words[4096] = "";
    FILE *f = fopen("answers", "r");
    size_t n = f != NULL ? fread(words, 1, sizeof words - 1, f) : 0;
    if (f != NULL) {
        (void)fclose(f);
    }
    words[n] = '\0';
    char *rest = strchr(words, ' ');
    if (rest != NULL && (f = fopen("answers", "w")) != NULL) {
        (void)fputs(rest + 1, f);
        (void)fclose(f);
    }
    int status = (int)strtol(words, NULL, 10);
    return status > 0 ? status : 200;
}

// The value of a header within the head, up to its line's end.
static const char *header(const char *head, const char *name)
{
    const char *line = strcasestr(head, name);
    return line != NULL ? line + strlen(name) : NULL;
}

static int serve(int fd)
{
    static char text[MOST];
    size_t n = 0;
    char *body = NULL;
    ssize_t got;
    while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0) {
        n += (size_t)got;
        text[n] = '\0';
        body = strstr(text, "\r\n\r\n");
        const char *length = header(text, "\ncontent-length: ");
        size_t want = length != NULL ? strtoul(length, NULL, 10) : 0;
        if (body != NULL && n - (size_t)(body + 4 - text) >= want) {
            break;
        }
    }
    if (body == NULL) {
        return 0;
    }
    const char *key = header(text, "\nidempotency-key: ");
    FILE *f = fopen("requests", "a");
    if (f != NULL) {
        (void)fprintf(f, "%.*s %.*s %s\n", (int)strcspn(strchr(text, ' ') + 1, " ") +
                      (int)(strchr(text, ' ') + 1 - text), text,
                      key != NULL ? (int)strcspn(key, "\r\n") : 1, key != NULL ? key : "-",
                      body + 4);
        (void)fclose(f);
    }
    (void)dprintf(fd, "HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                  next_status());
    return strncmp(text, "GET /quit ", 10) == 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FILE *f = NULL;
    if (argc != 2 || chdir(argv[1]) != 0 || bind(fd, (struct sockaddr *)&at, size) != 0 ||
        listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0 ||
        (f = fopen("port", "w")) == NULL) {
        return EXIT_FAILURE;
    }
    (void)fprintf(f, "%d", ntohs(at.sin_port));
    (void)fclose(f);
    if (daemon(1, 0) != 0) {
        return EXIT_FAILURE;
    }
    (void)alarm(LIFE_S);
    for (int over = 0; !over;) {
        int c = accept(fd, NULL, NULL);
        over = c < 0 || serve(c);
        (void)close(c);
    }
    return EXIT_SUCCESS;
}
