/* penstock dev: migrates, then every role in one command, each a process of its own, until Ctrl-C or until one of them ends. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const roles[] = {"api", "scheduler", "worker"};
enum { ROLES = sizeof roles / sizeof roles[0] };

/* In a group of its own, so that Ctrl-C comes to us alone, and the role is asked to drain once; it ends with us whatever ends us. */
static void become(const char *role, const sigset_t *mask, pid_t parent) {
    char name[] = "penstock", word[16];
    char *argv[] = {name, word, NULL};
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    if (getppid() == parent && str_copy_c(str_c(role), word, sizeof word)) {
        (void)execv("/proc/self/exe", argv);
    }
    _exit(EXIT_INTERNAL);
}

/* The child's pid; negative: there is none. */
static pid_t start(const char *role, const sigset_t *mask) {
    pid_t parent = getpid();
    (void)fflush(NULL); /* or the child would print it again */
    pid_t pid = fork();
    if (pid == 0) {
        become(role, mask, parent);
    }
    if (pid < 0) {
        (void)fprintf(stderr, "penstock dev: %s cannot be started\n", role);
    }
    return pid;
}

static int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_INTERNAL; }

static int migrate(const sigset_t *mask) {
    int status;
    pid_t pid = start("migrate", mask);
    return pid > 0 && waitpid(pid, &status, 0) == pid ? code_of(status) : EXIT_INTERNAL;
}

static void end_all(const pid_t pids[ROLES]) {
    for (size_t i = 0; i < ROLES; i++) {
        if (pids[i] > 0) {
            (void)kill(pids[i], SIGTERM);
        }
    }
}

/* Takes in one that has ended. False: none has. */
static bool reap(pid_t pids[ROLES], size_t *left, int *code, bool ending) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    for (size_t i = 0; pid > 0 && i < ROLES; i++) {
        if (pids[i] == pid) {
            pids[i] = -1;
            *left -= 1;
            *code = *code != EXIT_SUCCESS ? *code : code_of(status);
            (void)fprintf(stderr, "penstock dev: %s has ended%s\n", roles[i], ending ? "" : "; the others are ended, too");
        }
    }
    return pid > 0;
}

/* Until none is left. The first to end takes the others along, and so do Ctrl-C and TERM. */
static int watch(pid_t pids[ROLES], size_t left, const sigset_t *awaited, int code) {
    bool ending = code != EXIT_SUCCESS;
    if (ending) {
        end_all(pids);
    }
    while (left > 0) {
        int sig = sigwaitinfo(awaited, NULL);
        bool told = sig == SIGINT || sig == SIGTERM || sig == SIGHUP, ended = false;
        while (reap(pids, &left, &code, ending)) {
            ended = true;
        }
        if (told || (ended && !ending)) { /* told twice, the roles end at once */
            end_all(pids);
            ending = true;
        }
    }
    return code;
}

int cli_dev(int argc, char **argv) {
    sigset_t awaited, before;
    pid_t pids[ROLES];
    size_t left = 0;
    (void)argv;
    if (argc > 0) {
        return cli_usage("dev takes no arguments: servers are named by settings, as for the roles");
    }
    (void)sigemptyset(&awaited);
    for (size_t i = 0; i < 4; i++) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
        (void)sigaddset(&awaited, signals[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &awaited, &before);
    int code = migrate(&before);
    for (size_t i = 0; code == EXIT_SUCCESS && i < ROLES; i++) {
        pids[i] = start(roles[i], &before);
        left += pids[i] > 0;
    }
    if (code != EXIT_SUCCESS) {
        return code;
    }
    (void)fprintf(
        stderr,
        "penstock dev: api, scheduler and worker run; Ctrl-C ends them. Try: penstock trigger order.paid; penstock top\n");
    return watch(pids, left, &awaited, left == ROLES ? EXIT_SUCCESS : EXIT_INTERNAL);
}
