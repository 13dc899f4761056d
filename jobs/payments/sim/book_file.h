/* The book's file, for book.c. */
#ifndef SIM_BOOK_FILE_H
#define SIM_BOOK_FILE_H

#include "book.h"

typedef struct err book_entry_cb(void *arg, const struct book_entry *e);

/* Created when it is not there, and locked. */
MUST struct err book_file_open(const char *path, int *out_fd);
/* From the first entry to the last; what on_entry answers ends it. A torn last line is cut off. */
MUST struct err book_file_read(int fd, book_entry_cb *on_entry, void *arg);

#endif
