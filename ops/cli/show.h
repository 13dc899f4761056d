/* What a command prints on standard output: the API's answer, or a table of it. */
#ifndef OPS_CLI_SHOW_H
#define OPS_CLI_SHOW_H

#include "client.h"
#include "table.h"

/* Rows: the members of "items", or the answer itself. The first column is the name. */
int show_rows(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n);

/* The same of a member of the answer, a list; as JSON it is that list alone. */
int show_member(const struct options *o, const struct client_answer *a, const char *member, const struct column *columns,
                size_t n);

/* A change: "job/<name> cancelled". */
int show_change(const struct options *o, const struct client_answer *a, const char *kind, const char *name, const char *done);

/* Asks, and shows rows; with --watch goes on, and shows those that have changed. */
int show_asked(const struct options *o, const struct client_request *r, const struct column *columns, size_t n);

/* Asks for a change, and shows it; done NULL: the word is the answer's member "state". With --dry-run see show_dry. */
int show_changed(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done);

/* The same of "POST <path><first argument><verb>", whose body has the --reason, if there is one. */
int show_told(const struct options *o, const char *path, const char *verb, const char *kind, const char *done);

/* What a change would do: looks whether the thing is there, and is in one of the states (with spaces between; NULL: in any), and
 * says "job/<name> cancelled (dry run)", or the request. EXIT_WORK, or what the change would fail with. */
int show_dry(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done,
             const char *states);

/* "there is more: --cursor …", on standard error, where an answer says so. */
void show_next(const struct options *o, const struct client_answer *a);

/* Rows that were asked for again and again: what shows of each at its latest. */
struct shown_rows {
    json_t *texts; /* name → text; NULL: nothing was shown yet */
};
/* Shows those rows of the answer that look other than at the last call, ages apart. */
int show_news(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n,
              struct shown_rows *seen);

/* Whether what is printed may be coloured: standard output is a terminal, and NO_COLOR is not set. */
bool show_has_color(void);

#endif
