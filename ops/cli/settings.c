#include "settings.h"

#include <base/limits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exits.h"

static const struct {
    const char *name, *variable, *fallback;
} rows[SETTING_MAX] = {
#define SETTING(id, name, variable, fallback, help) [SETTING_##id] = {name, variable, fallback},
#include "settings.def"
#undef SETTING
};

enum { PATH_BYTES_MAX = 4096, OTHERS = 077 };

enum setting_id setting_find(const char *name) {
    int id = 0;
    while (id < SETTING_MAX && strcmp(rows[id].name, name) != 0) {
        id++;
    }
    return (enum setting_id)id;
}

const char *setting_name(enum setting_id id) { return rows[id].name; }

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* ---- the file ---- */

static char *make_path(void) {
    const char *config = variable("XDG_CONFIG_HOME"), *home = variable("HOME");
    char path[PATH_BYTES_MAX];
    bool given = config != NULL && config[0] == '/';
    int n = given ? snprintf(path, sizeof path, "%s/penstock/config", config)
                  : snprintf(path, sizeof path, "%s/.config/penstock/config", home != NULL ? home : "");
    return (given || home != NULL) && n > 0 && (size_t)n < sizeof path ? strdup(path) : NULL;
}

static bool read_all(int fd, struct buf *out) {
    ssize_t got = 1;
    while (got > 0 || (got < 0 && errno == EINTR)) {
        char *to = buf_reserve(out, 4096);
        if (to == NULL) {
            return false;
        }
        got = read(fd, to, 4096);
        buf_commit(out, got > 0 ? (size_t)got : 0);
    }
    return got == 0;
}

/* It may hold keys: as ssh does with its own, one that others can read is refused. */
static int read_file(const char *path, struct buf *out, struct buf *why) {
    struct stat st;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) {
        if (path == NULL || errno == ENOENT || errno == ENOTDIR) {
            return EXIT_SUCCESS;
        }
        buf_addf(why, "%.400s cannot be read: %s", path, strerror(errno));
        return EXIT_CONFIG;
    }
    int code = EXIT_CONFIG;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        buf_addf(why, "%.400s is no file", path);
    } else if ((st.st_mode & OTHERS) != 0) {
        buf_addf(why, "%.400s may be read or written by others, mode %03o; chmod 600 it", path, (unsigned)st.st_mode & 0777);
    } else if (!read_all(fd, out)) {
        buf_addf(why, "%.400s cannot be read, or is larger than %d bytes", path, PROFILE_FILE_BYTES_MAX);
    } else {
        code = EXIT_SUCCESS;
    }
    (void)close(fd);
    return code;
}

static bool write_all(int fd, struct str text) {
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n <= 0) {
            return false;
        }
        text = str_of(text.p + n, text.n - (size_t)n);
    }
    return fsync(fd) == 0;
}

/* The folders of path, for the user alone. */
static void make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700); /* one that is missing after this shows when the file is made */
        *slash = '/';
    }
}

bool settings_write(const struct settings *s, struct str text) {
    char fresh[PATH_BYTES_MAX + 8];
    errno = ENOENT;
    if (s->path == NULL) {
        return false;
    }
    make_folders(s->path);
    (void)snprintf(fresh, sizeof fresh, "%s.XXXXXX", s->path);
    int fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
    bool ok = fd >= 0 && write_all(fd, text);
    ok = fd >= 0 && close(fd) == 0 && ok && rename(fresh, s->path) == 0;
    if (fd >= 0 && !ok) {
        int kept = errno;
        (void)unlink(fresh);
        errno = kept;
    }
    return ok;
}

/* ---- what is in force ---- */

/* NULL where there is none. No line is longer than room: profile_check. */
static const char *keep(struct str value, char room[PROFILE_LINE_BYTES]) {
    return value.n > 0 && str_copy_c(value, room, PROFILE_LINE_BYTES) ? room : NULL;
}

static int choose_profile(const struct options *o, struct settings *s, struct buf *why) {
    struct str text = buf_str(&s->text);
    const char *flag = o->value[OPTION_PROFILE];
    const char *named = flag != NULL ? flag : variable("PENSTOCK_PROFILE");
    s->profile = named != NULL ? named : keep(profile_get(text, STR(""), STR("use")), s->used);
    if (named != NULL && !str_is_name(str_c(named), LIMIT_NAME_BYTES)) {
        buf_addf(why, "a profile's name is 1 to %d of A-Z a-z 0-9 _ . -", LIMIT_NAME_BYTES);
        return EXIT_CONFIG;
    }
    if (s->profile == NULL && profile_exists(text, STR(SETTINGS_PROFILE_DEFAULT))) {
        s->profile = SETTINGS_PROFILE_DEFAULT;
    }
    bool may_be_new = strcmp(o->command->noun, "config") == 0;
    if (s->profile != NULL && !may_be_new && !profile_exists(text, str_c(s->profile))) {
        buf_addf(why, "there is no profile %s; penstock config set --profile %s url URL makes it", s->profile, s->profile);
        return EXIT_CONFIG;
    }
    return EXIT_SUCCESS;
}

static void set(struct settings *s, int id, const char *value, const char *from) {
    if (value != NULL && s->value[id] == NULL) {
        s->value[id] = value;
        s->from[id] = from;
    }
}

/* The first that says something counts. */
static void choose_values(const struct options *o, struct settings *s) {
    struct str text = buf_str(&s->text);
    (void)snprintf(s->profile_label, sizeof s->profile_label, "profile:%s", s->profile != NULL ? s->profile : "");
    set(s, SETTING_OUTPUT, o->value[OPTION_OUTPUT], "--output");
    set(s, SETTING_TIMEOUT, o->value[OPTION_TIMEOUT], "--timeout");
    for (int id = 0; id < SETTING_MAX; id++) {
        set(s, id, variable(rows[id].variable), rows[id].variable);
        if (s->profile != NULL) {
            set(s, id, keep(profile_get(text, str_c(s->profile), str_c(rows[id].name)), s->kept[id]), s->profile_label);
        }
        set(s, id, rows[id].fallback, "default");
    }
}

int settings_load(struct options *o, struct settings *out, struct buf *why) {
    struct settings *s = out;
    *s = (struct settings){.path = make_path()};
    buf_init(&s->text, PROFILE_FILE_BYTES_MAX);
    int code = read_file(s->path, &s->text, why);
    if (code == EXIT_SUCCESS && !profile_check(buf_str(&s->text), why)) {
        buf_addf(why, " (%.400s)", s->path);
        code = EXIT_CONFIG;
    }
    code = code == EXIT_SUCCESS ? choose_profile(o, s, why) : code;
    if (code == EXIT_SUCCESS) {
        choose_values(o, s);
        o->value[OPTION_OUTPUT] = s->value[SETTING_OUTPUT];
        o->value[OPTION_TIMEOUT] = s->value[SETTING_TIMEOUT];
        o->url = s->value[SETTING_URL];
        o->url_from = s->from[SETTING_URL];
        o->key = s->value[SETTING_KEY];
        o->key_from = s->from[SETTING_KEY];
    }
    return code;
}

void settings_free(struct settings *s) {
    free(s->path);
    s->path = NULL;
    buf_free(&s->text);
}
