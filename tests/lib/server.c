#include "server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 48, PATH_BYTES = 128, START_MS = 20000 };

struct server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[PATH_BYTES];
    char program[PATH_BYTES * 2];
    const char *argv[ARGS_MAX];
    int argc;
    char port_text[16], data[PATH_BYTES * 2], socket_dir[PATH_BYTES * 2];
    const struct passwd *as; /* NULL: as we are */
    bool (*is_ready)(const struct server *s);
};

static long long now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(void) { (void)nanosleep(&(struct timespec){0, 5000000}, NULL); }

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int server_listen_deaf(int *out_port) {
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        perror("server: listen");
        abort();
    }
    *out_port = ntohs(a.sin_port);
    return fd;
}

int server_free_port(void) {
    int port;
    (void)close(server_listen_deaf(&port));
    return port;
}

int server_count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

/* ---- processes ---- */

static void become(const struct server *s) {
    if (s->as != NULL && (setgroups(0, NULL) != 0 || setgid(s->as->pw_gid) != 0 || setuid(s->as->pw_uid) != 0)) {
        _exit(126);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of uid, which clears it */
}

static pid_t spawn(const struct server *s, const char *program, char *const *argv) {
    char log[PATH_BYTES * 2];
    (void)snprintf(log, sizeof log, "%s/log", s->dir);
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    int null = open("/dev/null", O_RDONLY);
    (void)dup2(null, 0);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    for (int i = 3; i < 1024; i++) {
        (void)close(i); /* a server must not hold the test's sockets open */
    }
    become(s);
    (void)execv(program, argv);
    _exit(127);
}

static bool wait_end(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void show_log(const struct server *s) {
    char path[PATH_BYTES * 2], line[512];
    (void)snprintf(path, sizeof path, "%s/log", s->dir);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        (void)fprintf(stderr, "server: %s", line);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static bool has_ended(struct server *s) {
    if (s->pid != 0 && waitpid(s->pid, NULL, WNOHANG) == s->pid) {
        s->pid = 0;
    }
    return s->pid == 0;
}

/* A server that ends at once is started again: the port, or the memory of the one killed before, may become free. */
bool server_restart(struct server *s) {
    for (long long end = now_ms() + START_MS; now_ms() < end; nap()) {
        if (has_ended(s)) {
            s->pid = spawn(s, s->program, (char *const *)s->argv);
        }
        if (s->is_ready(s)) {
            return true;
        }
    }
    show_log(s);
    (void)fprintf(stderr, "server: %s is not ready after %d ms\n", s->program, START_MS);
    return false;
}

void server_signal(struct server *s, int signal) { (void)kill(s->pid, signal); }

void server_kill(struct server *s) {
    if (s->pid != 0) {
        (void)kill(s->pid, SIGKILL);
        (void)wait_end(s->pid);
        s->pid = 0;
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void server_stop(struct server *s) {
    if (s == NULL) {
        return;
    }
    server_kill(s);
    for (int i = 0; i < 200 && nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0; i++) {
        nap(); /* children of a killed postmaster still write */
    }
    free(s);
}

int server_port(const struct server *s) { return s->port; }
const char *server_dir(const struct server *s) { return s->dir; }

static void add(struct server *s, const char *arg) {
    if (s->argc < ARGS_MAX - 1) {
        s->argv[s->argc++] = arg;
    }
}

static void add_all(struct server *s, const char *const *args) {
    while (args != NULL && *args != NULL) {
        add(s, *args++);
    }
}

static struct server *new_server(void) {
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/penstock-test-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        perror("server: mkdtemp");
        free(s);
        return NULL;
    }
    s->port = server_free_port();
    (void)snprintf(s->port_text, sizeof s->port_text, "%d", s->port);
    return s;
}

static struct server *start(struct server *s) {
    if (!server_restart(s)) {
        server_stop(s);
        return NULL;
    }
    return s;
}

/* ---- Redis ---- */

static bool redis_is_ready(const struct server *s) {
    struct sockaddr_in a = loopback(s->port);
    char answer[64] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6) {
        (void)recv(fd, answer, sizeof answer - 1, 0);
    }
    (void)close(fd);
    return strncmp(answer, "+PONG", 5) == 0 || strncmp(answer, "-NOAUTH", 7) == 0;
}

static void find_redis(char *out, size_t size) {
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/redis-check-rdb"};
    const char *named = getenv("TEST_REDIS_SERVER");
    for (size_t i = 0; named == NULL && i < sizeof places / sizeof places[0]; i++) {
        named = access(places[i], X_OK) == 0 ? places[i] : NULL;
    }
    (void)snprintf(out, size, "%s", named != NULL ? named : "redis-server");
}

struct server *server_redis_start(const char *const *extra) {
    struct server *s = new_server();
    if (s == NULL) {
        return NULL;
    }
    find_redis(s->program, sizeof s->program);
    s->is_ready = redis_is_ready;
    const char *const args[] = {"redis-server", "--port",       s->port_text, "--bind", "127.0.0.1", "--dir",
                                s->dir,         "--appendonly", "no",         "--save", "",          NULL};
    add_all(s, args);
    add_all(s, extra);
    return start(s);
}

/* ---- Postgres ---- */

/* The postmaster writes its state into the 8th line of its pid file. */
static bool postgres_is_ready(const struct server *s) {
    char path[PATH_BYTES * 3], line[256] = "", pid[16];
    (void)snprintf(path, sizeof path, "%s/postmaster.pid", s->data);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    (void)snprintf(pid, sizeof pid, "%d\n", (int)s->pid);
    bool ours = fgets(line, sizeof line, f) != NULL && strcmp(line, pid) == 0;
    for (int i = 1; i < 8; i++) {
        if (fgets(line, sizeof line, f) == NULL) {
            line[0] = '\0';
        }
    }
    (void)fclose(f);
    return ours && strncmp(line, "ready", 5) == 0;
}

static const struct passwd *unprivileged(void) {
    if (geteuid() != 0) {
        return NULL;
    }
    const struct passwd *as = getpwnam("postgres");
    return as != NULL ? as : getpwnam("nobody");
}

static bool init_database(struct server *s, const char *bin) {
    char initdb[PATH_BYTES * 3];
    (void)snprintf(initdb, sizeof initdb, "%s/initdb", bin);
    /* By its path: it looks for postgres beside itself, and so does postgres for its files. */
    const char *const argv[] = {initdb, "-D",   s->data,      "-U",        "postgres",          "-A", "trust",
                                "-E",   "UTF8", "--locale=C", "--no-sync", "--no-instructions", NULL};
    if (s->as != NULL && chown(s->dir, s->as->pw_uid, s->as->pw_gid) != 0) {
        return false;
    }
    return wait_end(spawn(s, initdb, (char *const *)argv));
}

struct server *server_postgres_start(const char *const *extra) {
    const char *bin = getenv("TEST_POSTGRES_BIN");
    struct server *s = new_server();
    if (s == NULL) {
        return NULL;
    }
    bin = bin != NULL ? bin : "/usr/lib/postgresql/15/bin";
    s->as = unprivileged();
    s->is_ready = postgres_is_ready;
    (void)snprintf(s->program, sizeof s->program, "%s/postgres", bin);
    (void)snprintf(s->data, sizeof s->data, "%s/data", s->dir);
    (void)snprintf(s->socket_dir, sizeof s->socket_dir, "unix_socket_directories=%s", s->dir);
    const char *const args[] = {
        s->program, "-D", s->data, "-p", s->port_text, "-c", s->socket_dir, "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1",
        NULL};
    add_all(s, args);
    add_all(s, extra);
    if (!init_database(s, bin)) {
        show_log(s);
        (void)fprintf(stderr, "server: initdb failed\n");
        server_stop(s);
        return NULL;
    }
    return start(s);
}
