/* The version of the Functions: library penstock_<version>, Functions pen_<step>_<version>. Every change of their code is a new one (the
 * digests in lua/VERSIONS, which the lint compares), so a name means the same for ever, and processes of two versions find each what they were
 * built for in one Redis. What lies in the keys is common to the libraries that are there together. */
#ifndef QUEUES_VERSION_H
#define QUEUES_VERSION_H

#define FUNCTIONS_VERSION 2
/* Of the release before, whose processes may run beside ours: they keep their rights and their library. */
#define FUNCTIONS_BEFORE 1

#define FUNCTIONS_TEXT_(n) #n
#define FUNCTIONS_TEXT(n) FUNCTIONS_TEXT_(n)
#define FUNCTION_NAME(step) "pen_" step "_" FUNCTIONS_TEXT(FUNCTIONS_VERSION)

#endif
