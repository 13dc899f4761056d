/* What a command prints on standard output: the API's answer, or a table of it. */
#ifndef OPS_CLI_SHOW_H
#define OPS_CLI_SHOW_H

#include "client.h"
#include "table.h"

/* Rows: the members of "items", or the answer itself. The first column is the name. */
int show_rows(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n);

/* A change: "job/<name> cancelled". */
int show_change(const struct options *o, const struct client_answer *a, const char *kind, const char *name, const char *done);

/* Asks, and shows rows. */
int show_asked(const struct options *o, const struct client_request *r, const struct column *columns, size_t n);

/* Asks for a change, and shows it; done NULL: the word is the answer's member "state". */
int show_changed(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done);

#endif
