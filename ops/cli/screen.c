#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l" /* the other screen, without a cursor */
#define LEAVE "\033[0m\033[?25h\033[?1049l"

static struct termios before, during;
static volatile sig_atomic_t active;

static void put(struct str s) {
    while (s.n > 0) {
        ssize_t n = write(STDOUT_FILENO, s.p, s.n);
        if (n < 0 && errno != EINTR) {
            return;
        }
        s = n > 0 ? str_of(s.p + n, s.n - (size_t)n) : s;
    }
}

/* These two run in signal handlers as well: async-signal-safe calls only. */
static void take(void) {
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &during);
    put(STR(ENTER));
    active = 1;
}

void screen_leave(void) {
    if (active != 0) {
        active = 0;
        put(STR(LEAVE));
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
}

/* ---- signals ---- */

static void on_end(int sig) { /* by SA_RESETHAND the next one does what it would have done */
    screen_leave();
    (void)raise(sig);
}

static void on_resize(int sig) { (void)sig; /* poll() has been interrupted */ }

static void on_stop(int sig);

static void handle(int sig, void (*handler)(int), int flags) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    (void)sigemptyset(&a.sa_mask);
    (void)sigaction(sig, &a, NULL);
}

static void handle_stop(void) { handle(SIGTSTP, on_stop, (int)SA_RESETHAND | SA_NODEFER); }

/* Ctrl-Z: stops in raise(), and goes on behind it. */
static void on_stop(int sig) {
    int kept = errno;
    screen_leave();
    (void)raise(sig);
    handle_stop();
    take();
    errno = kept;
}

bool screen_enter(void) {
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    if (isatty(STDOUT_FILENO) != 1 || tcgetattr(STDIN_FILENO, &before) != 0) {
        return false;
    }
    during = before;
    during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    during.c_cc[VMIN] = 1;
    during.c_cc[VTIME] = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        handle(ends[i], on_end, (int)SA_RESETHAND | SA_NODEFER);
    }
    handle_stop();
    handle(SIGWINCH, on_resize, 0);
    take();
    return true;
}

/* ---- keys ---- */

/* A key that is no character comes as a few bytes at once, ESC first. */
static int key_of(const char *bytes, ssize_t n) {
    if (n <= 0) {
        return SCREEN_END;
    }
    if (bytes[0] != '\033') {
        return (unsigned char)bytes[0];
    }
    bool arrow = n >= 3 && (bytes[1] == '[' || bytes[1] == 'O');
    return arrow && bytes[2] == 'A' ? SCREEN_UP : arrow && bytes[2] == 'B' ? SCREEN_DOWN : SCREEN_OTHER;
}

int screen_key(int64_t ms) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char bytes[16];
    int n = poll(&in, 1, ms > 0 ? (int)ms : 0);
    if (n <= 0) {
        return SCREEN_NOTHING;
    }
    ssize_t got = read(STDIN_FILENO, bytes, 1);
    if (got == 1 && bytes[0] == '\033' && poll(&in, 1, 0) > 0) {
        ssize_t more = read(STDIN_FILENO, bytes + 1, 2);
        got += more > 0 ? more : 0;
    }
    return got < 0 && errno == EINTR ? SCREEN_NOTHING : key_of(bytes, got);
}

struct screen_size screen_size(void) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    return known ? (struct screen_size){size.ws_row, size.ws_col} : (struct screen_size){24, 80};
}

void screen_draw(struct str text) {
    struct str line;
    int rows = screen_size().rows;
    put(STR("\033[H"));
    for (int i = 0; i < rows && str_cut(&text, '\n', &line); i++) {
        put(i == 0 ? STR("") : STR("\r\n"));
        put(line);
        put(STR("\033[K"));
    }
    put(STR("\033[J"));
}
