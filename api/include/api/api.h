/* The HTTP API: producers, operators and probes meet here. Everything it knows of job types comes from the registry, everything it
 * shows of orders, payments and notifications from the modules' services. */
#ifndef API_API_H
#define API_API_H

#include <jobs/type.h>

struct api_options {
    const struct conf *conf;
    struct registry *registry; /* HUP puts other declared types into it */
};

/* HUP reads handler.types anew. Runs until TERM or INT, then lets the requests that wait finish for at most 3 s. The exit status of the process: 0; 78 when it
 * would listen beyond loopback without any live API key; 1 for whatever else keeps it from starting. Logs what it does. */
int api_main(const struct api_options *o);

#endif
