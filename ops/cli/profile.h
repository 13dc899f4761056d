/* The text of the profiles' file: "name = value" lines below "[profile]" lines, comments behind "#" at the start of a line. What
 * stands before the first profile is the file's own: "use = <profile>". Pure. */
#ifndef OPS_CLI_PROFILE_H
#define OPS_CLI_PROFILE_H

#include <base/buf.h>

enum { PROFILE_FILE_BYTES_MAX = 64 * 1024, PROFILE_LINE_BYTES = 1024 };

/* False: why has the line's number and what is wrong with it. */
bool profile_check(struct str text, struct buf *why);

/* profile "": what stands before the first. p NULL: it is not there. Of two the last counts. */
struct str profile_get(struct str text, struct str profile, struct str name);
bool profile_exists(struct str text, struct str profile);

/* Appends text with that value in it; everything else stays as it was written. */
void profile_set(struct str text, struct str profile, struct str name, struct str value, struct buf *out);

#endif
