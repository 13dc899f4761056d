/* Failpoints. Everything here ends the process when it cannot do what it was asked: a test that runs unarmed, or whose hits
 * are not counted, proves nothing. */
#include <base/fault.h>

#ifdef PENSTOCK_FAULTS

#include <base/str.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum action { NOTHING, KILL, STOP };

static const struct {
    const char *name, *role;
} points[FP_MAX] = {
#define F(id, name, role) [FP_##id] = {name, role},
#include <base/fault.def>
#undef F
};

static const char *const switch_names[FS_MAX] = {
#define S(id, name) [FS_##id] = name,
#include <base/fault_switch.def>
#undef S
};

static struct {
    enum action action;
    double probability;
} armed[FP_MAX];

static bool switched[FS_MAX];
static uint64_t seed;
static uint64_t random_state;
static pid_t random_pid; /* the process that random_state belongs to: a forked child begins its own sequence */
static int log_fd = -1;

static _Noreturn void refuse(const char *what, struct str text) {
    (void)fprintf(stderr, "PENSTOCK_FAULT: %s: %.*s\n", what, STR_ARG(text));
    _exit(2);
}

static void arm_switch(struct str name) {
    for (int i = 0; i < FS_MAX; i++) {
        if (str_is(name, switch_names[i])) {
            switched[i] = true;
            return;
        }
    }
    refuse("unknown switch", name);
}

static double parse_probability(struct str s) {
    char text[32];
    char *end = text;
    double p = str_copy_c(s, text, sizeof text) ? strtod(text, &end) : -1;
    if (s.n == 0 || *end != '\0' || !(p >= 0 && p <= 1)) {
        refuse("not a probability from 0 to 1", s);
    }
    return p;
}

/* name=action@probability */
static void arm_point(struct str part) {
    struct str rest = part;
    struct str name = STR_NONE;
    struct str action = STR_NONE;
    (void)str_cut(&rest, '=', &name);
    (void)str_cut(&rest, '@', &action);
    bool stop = str_is(action, "stop");
    bool found = false;
    if (!stop && !str_is(action, "kill")) {
        refuse("want seed:N, switch:NAME or NAME=kill@P or NAME=stop@P", part);
    }
    double p = parse_probability(rest);
    for (int i = 0; i < FP_MAX; i++) {
        if (str_is(name, "*") || str_is(name, points[i].name)) {
            armed[i].action = stop ? STOP : KILL;
            armed[i].probability = p;
            found = true;
        }
    }
    if (!found) {
        refuse("unknown failpoint", name);
    }
}

static void arm(struct str part) {
    if (str_starts(part, STR("seed:"))) {
        if (!str_to_u64(str_of(part.p + 5, part.n - 5), &seed)) {
            refuse("the seed is not a number", part);
        }
    } else if (str_starts(part, STR("switch:"))) {
        arm_switch(str_of(part.p + 7, part.n - 7));
    } else if (part.n > 0) {
        arm_point(part);
    }
}

static void open_log(void) {
    const char *path = getenv("PENSTOCK_FAULT_LOG");
    if (log_fd >= 0) {
        (void)close(log_fd);
        log_fd = -1;
    }
    if (path == NULL) {
        return;
    }
    log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) {
        refuse(strerror(errno), str_c(path));
    }
}

/* "@file": what the file says. It is read again when it is replaced, so that a harness can arm what still wants hits. */
static const char *spec_path;
static struct timespec spec_read; /* modification time of what was read */

static struct str read_spec(char *room, size_t size) {
    struct stat st;
    int fd = open(spec_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 && fstat(fd, &st) == 0 ? read(fd, room, size) : -1;
    if (n < 0 || (size_t)n == size) {
        refuse("cannot be read, or is too long", str_c(spec_path));
    }
    spec_read = st.st_mtim;
    (void)close(fd);
    while (n > 0 && room[n - 1] == '\n') {
        n--;
    }
    return str_of(room, (size_t)n);
}

static void arm_all(void) {
    char room[8192];
    const char *given = getenv("PENSTOCK_FAULT");
    spec_path = given != NULL && given[0] == '@' ? given + 1 : NULL;
    struct str spec = spec_path != NULL ? read_spec(room, sizeof room) : str_c(given);
    struct str part;
    memset(armed, 0, sizeof armed);
    memset(switched, 0, sizeof switched);
    while (str_cut(&spec, ';', &part)) {
        arm(part);
    }
}

static void rearm_if_replaced(void) {
    struct stat st;
    if (spec_path != NULL && stat(spec_path, &st) == 0 &&
        (st.st_mtim.tv_sec != spec_read.tv_sec || st.st_mtim.tv_nsec != spec_read.tv_nsec)) {
        arm_all();
    }
}

void fault_setup(void) {
    seed = 0;
    random_pid = 0;
    arm_all();
    open_log();
}

/* xorshift64*; the start is spread by splitmix64, or neighbouring process ids would begin alike. */
static double next_random(void) {
    pid_t pid = getpid();
    if (random_pid != pid) {
        uint64_t z = (seed ^ (uint64_t)pid) + 0x9e3779b97f4a7c15U;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
        z = (z ^ z >> 27) * 0x94d049bb133111ebU;
        z ^= z >> 31;
        random_state = z != 0 ? z : 1;
        random_pid = pid;
    }
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return ldexp((double)(random_state * 0x2545f4914f6cdd1dU >> 11), -53);
}

static void record(enum failpoint p) {
    char line[80];
    int n = snprintf(line, sizeof line, "%s %s %d\n", points[p].name, armed[p].action == STOP ? "stop" : "kill", (int)getpid());
    if (write(log_fd, line, (size_t)n) != n) { /* one write: O_APPEND keeps lines of several processes whole */
        refuse("cannot record a hit", str_c(points[p].name));
    }
}

void fault_hit(enum failpoint p) {
    rearm_if_replaced();
    if (armed[p].action == NOTHING || next_random() >= armed[p].probability) {
        return;
    }
    if (log_fd >= 0) {
        record(p);
    }
    (void)raise(armed[p].action == STOP ? SIGSTOP : SIGKILL);
}

bool fault_switch(enum fault_switch s) { return switched[s]; }

void fault_list(void) {
    for (int i = 0; i < FP_MAX; i++) {
        (void)printf("%s %s\n", points[i].name, points[i].role);
    }
}

#endif
