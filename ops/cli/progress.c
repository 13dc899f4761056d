#include "progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "text.h"

enum { BAR_EVERY_MS = 100, LINE_EVERY_MS = 5000, BAR_WIDTH = 30, LINE_BYTES = 512, COLUMNS_DEFAULT = 80 };

void progress_begin(struct progress *p, const struct options *o, const char *what, int64_t total) {
    struct mono now = clock_mono(&clock_system);
    bool terminal = isatty(STDERR_FILENO) == 1;
    *p = (struct progress){.what = what,
                           .total = total,
                           .began = now,
                           .shown = now,
                           .bar = terminal && !o->quiet,
                           .lines = !terminal && o->output == OUTPUT_JSONL};
}

void progress_write(const struct progress *p, int64_t done, int64_t elapsed_ms, int columns, struct buf *out) {
    char left[TEXT_AGE_BYTES];
    if (p->total <= 0) {
        buf_addf(out, "%s %lld", p->what, (long long)done);
        return;
    }
    int64_t most = done < p->total ? done : p->total;
    int filled = (int)(most * BAR_WIDTH / p->total);
    if (columns >= COLUMNS_DEFAULT) {
        buf_addf(out, "%s [%.*s%.*s] %3d%% ", p->what, filled, "##############################", BAR_WIDTH - filled,
                 "..............................", (int)(most * 100 / p->total));
    } else {
        buf_addf(out, "%s %d%% ", p->what, (int)(most * 100 / p->total));
    }
    buf_addf(out, "%lld/%lld", (long long)done, (long long)p->total);
    if (most > 0 && most < p->total) {
        text_age(elapsed_ms * (p->total - most) / most, left);
        buf_addf(out, ", %s left", left);
    }
}

static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

void progress_show(struct progress *p, int64_t done) {
    struct mono now = clock_mono(&clock_system);
    struct buf text;
    if ((!p->bar && !p->lines) || mono_ms_since(now, p->shown) < (p->bar ? BAR_EVERY_MS : LINE_EVERY_MS)) {
        return;
    }
    p->shown = now;
    if (p->lines) {
        (void)fprintf(stderr, "{\"progress\":\"%s\",\"done\":%lld,\"total\":%lld}\n", p->what, (long long)done,
                      (long long)p->total);
        return;
    }
    buf_init(&text, LINE_BYTES);
    progress_write(p, done, mono_ms_since(now, p->began), terminal_columns(), &text);
    (void)fprintf(stderr, "\r%.*s\033[K", STR_ARG(buf_str(&text)));
    buf_free(&text);
}

void progress_hide(const struct progress *p) {
    if (p->bar) {
        (void)fprintf(stderr, "\r\033[K");
    }
}
