/* One mail by libcurl's SMTP, in a thread: libcurl 7.88 waits for the answers to the final dot and to QUIT in a blocking way
 * also under its multi interface (smtp_done, smtp_disconnect), so that one slow relay would stop the loop.
 *
 * Who owns a job: the call before it is submitted, the pool until done. When the call is given up earlier the job is told to
 * end (its socket is shut down) and lives on alone until done. */
#include "blocking.h"
#include "http_call.h"
#include "mail_text.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAIL_THREADS = 4, REPLY_BYTES = 120, REPLIES_BEFORE_HELO = 2 };

struct mail_job {
    struct blocking_job job; /* first: the pool's view */
    struct http_call *call;  /* the loop thread's; NULL: given up */
    CURL *easy;
    struct curl_slist *to;
    struct buf message;
    size_t sent;
    bool accepted; /* curl_easy_perform said so; the thread's until done */
    char why[CURL_ERROR_SIZE];
    pthread_mutex_t lock; /* over what follows: the loop judges a call that the thread still works on */
    int fd;
    bool given_up, data_begun, data_sent;
    bool over; /* the relay has said what it does with the mail */
    int code;  /* of the last whole reply before or at that */
    unsigned replies;
    char reply[REPLY_BYTES];
};

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
    struct mail_job *m = arg;
    (void)purpose;
    (void)pthread_mutex_lock(&m->lock);
    int fd = m->given_up ? CURL_SOCKET_BAD : socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    m->fd = fd;
    (void)pthread_mutex_unlock(&m->lock);
    return fd;
}

static int on_close_socket(void *arg, curl_socket_t fd) {
    struct mail_job *m = arg;
    (void)pthread_mutex_lock(&m->lock);
    if (m->fd == fd) {
        m->fd = -1;
    }
    (void)pthread_mutex_unlock(&m->lock);
    return close(fd);
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
    struct mail_job *m = arg;
    (void)down_total, (void)down, (void)up_total, (void)up;
    (void)pthread_mutex_lock(&m->lock);
    bool given_up = m->given_up;
    (void)pthread_mutex_unlock(&m->lock);
    return given_up;
}

static size_t on_text_wanted(char *to, size_t size, size_t n, void *arg) {
    struct mail_job *m = arg;
    size_t left = m->message.n - m->sent;
    size_t take = left < size * n ? left : size * n;
    if (take > 0) {
        memcpy(to, m->message.p + m->sent, take);
    }
    m->sent += take;
    (void)pthread_mutex_lock(&m->lock);
    m->data_begun = true; /* the relay has answered DATA */
    m->data_sent = m->sent == m->message.n;
    (void)pthread_mutex_unlock(&m->lock);
    return take;
}

/* A reply ends the dialogue when it refuses, or answers the whole mail. What is left is QUIT, whose answer libcurl waits for:
 * with the reading side shut down it gets an end of file instead. A refused EHLO is followed by HELO. */
static void note_reply(struct mail_job *m, struct str line, int code) {
    m->replies++;
    m->code = code;
    (void)str_copy_c(str_of(line.p, line.n < REPLY_BYTES ? line.n : REPLY_BYTES - 1), m->reply, sizeof m->reply);
    m->over = m->data_sent || (code >= 400 && m->replies != REPLIES_BEFORE_HELO);
    if (m->over && m->fd >= 0) {
        (void)shutdown(m->fd, SHUT_RD);
    }
}

static size_t on_reply_line(char *data, size_t size, size_t n, void *arg) {
    struct mail_job *m = arg;
    struct str line = {data, size * n};
    int64_t code;
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) {
        line.n--;
    }
    bool last = line.n == 3 || (line.n > 3 && line.p[3] == ' ');
    if (last && str_to_i64(str_of(line.p, 3), &code)) {
        (void)pthread_mutex_lock(&m->lock);
        if (!m->over) {
            note_reply(m, line, (int)code);
        }
        (void)pthread_mutex_unlock(&m->lock);
    }
    return size * n;
}

static void mail_run(struct blocking_job *job) {
    struct mail_job *m = (struct mail_job *)job;
    m->accepted = on_progress(m, 0, 0, 0, 0) == 0 && curl_easy_perform(m->easy) == CURLE_OK;
    curl_easy_cleanup(m->easy); /* says QUIT, so it belongs here */
    m->easy = NULL;
}

static void job_free(struct mail_job *m) {
    if (m->easy != NULL) {
        curl_easy_cleanup(m->easy);
    }
    curl_slist_free_all(m->to);
    buf_free(&m->message);
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
}

/* Called with the lock held; `why` when the relay has not said anything that decides. */
static struct err judge(const struct mail_job *m, struct err why) {
    if (m->data_sent && m->code / 100 == 2) {
        return OK;
    }
    if (m->code / 100 == 4 || m->code / 100 == 5) {
        return err_make(m->code / 100 == 4 ? ERR_TRANSIENT : ERR_REFUSED, "the relay said %s", m->reply);
    }
    return m->data_begun ? err_make(ERR_NET_UNKNOWN, "the connection was lost while the mail was sent") : why;
}

static void mail_done(struct blocking_job *job) {
    struct mail_job *m = (struct mail_job *)job;
    struct http_call *call = m->call;
    if (call != NULL) {
        call->part = NULL;
        http_call_finish(call, m->accepted ? OK : judge(m, err_make(ERR_NET_NOT_SENT, "%s", m->why)));
    }
    job_free(m);
}

static struct err set_addresses(struct mail_job *m, const struct mail_spec *spec) {
    char room[MAIL_ADDRESS_BYTES + 3];
    room[0] = '<';
    (void)str_copy_c(spec->to, room + 1, sizeof room - 2);
    room[1 + spec->to.n] = '>';
    room[2 + spec->to.n] = '\0';
    m->to = curl_slist_append(NULL, room);
    (void)str_copy_c(spec->from, room + 1, sizeof room - 2);
    room[1 + spec->from.n] = '>';
    room[2 + spec->from.n] = '\0';
    bool good = m->to != NULL && curl_easy_setopt(m->easy, CURLOPT_MAIL_RCPT, m->to) == CURLE_OK &&
                curl_easy_setopt(m->easy, CURLOPT_MAIL_FROM, room) == CURLE_OK;
    return good ? OK : err_make(ERR_NOMEM, "mail");
}

static bool set_callbacks(struct mail_job *m) {
    return curl_easy_setopt(m->easy, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)m->message.n) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_READFUNCTION, on_text_wanted) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_READDATA, m) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_HEADERFUNCTION, on_reply_line) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_HEADERDATA, m) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_OPENSOCKETDATA, m) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_CLOSESOCKETDATA, m) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_XFERINFODATA, m) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_ERRORBUFFER, m->why) == CURLE_OK;
}

static bool set_rules(struct mail_job *m) {
    return curl_easy_setopt(m->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK &&
           curl_easy_setopt(m->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
}

static struct err set_url(struct mail_job *m, const char *url) {
    struct str s = str_c(url);
    if (!str_starts(s, STR("smtp://")) && !str_starts(s, STR("smtps://"))) {
        return err_make(ERR_INVALID, "the mail url must begin with smtp:// or smtps://");
    }
    return curl_easy_setopt(m->easy, CURLOPT_URL, url) == CURLE_OK ? OK : err_make(ERR_NOMEM, "mail");
}

static struct err prepare(struct http_call *call, const struct mail_spec *spec) {
    TRY(mail_check(spec));
    struct mail_job *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return err_make(ERR_NOMEM, "mail");
    }
    m->job = (struct blocking_job){.run = mail_run, .done = mail_done};
    m->call = call;
    m->fd = -1;
    buf_init(&m->message, MAIL_MESSAGE_BYTES);
    (void)pthread_mutex_init(&m->lock, NULL); /* cannot fail with default attributes */
    call->part = m;
    m->easy = curl_easy_init();
    if (m->easy == NULL) {
        return err_make(ERR_NOMEM, "mail");
    }
    TRY(mail_compose(spec, loop_wall(call->client->loop), &m->message));
    TRY(set_url(m, spec->url));
    TRY(set_addresses(m, spec));
    return set_callbacks(m) && set_rules(m) ? OK : err_make(ERR_NOMEM, "mail");
}

static struct err mail_start(struct http_call *call) {
    struct http_client *c = call->client;
    struct mail_job *m = call->part;
    if (c->mailers == NULL) {
        TRY(blocking_new(c->loop, MAIL_THREADS, &c->mailers));
    }
    return blocking_submit(c->mailers, &m->job);
}

static struct err mail_stop(struct http_call *call, struct err why) {
    struct mail_job *m = call->part;
    call->part = NULL;
    m->call = NULL;
    (void)pthread_mutex_lock(&m->lock);
    struct err verdict = judge(m, why);
    m->given_up = true;
    if (m->fd >= 0) {
        (void)shutdown(m->fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return verdict;
}

static void end_span(const struct http_call *call) {
    struct span_scope *scope = span_mark_scope(&call->mark);
    if (scope == NULL) {
        return;
    }
    bool failed = err_is_set(call->err);
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = STR("send mail"),
        .error = failed ? err_name(call->err.code) : NULL,
        .message = failed ? arena_str(scope->arena, str_c(call->err.detail)) : STR(""),
        SPAN_ATTRS(SA_C("network.protocol.name", "smtp")),
    };
    span_end(&call->mark, &s);
}

static void mail_deliver(struct http_call *call) {
    end_span(call);
    call->cb.mail(call->arg, call->err);
}

static void mail_free(struct http_call *call) {
    if (call->part != NULL) {
        job_free(call->part);
    }
}

static const struct call_kind kind_mail = {"the mail relay", mail_start, mail_stop, mail_deliver, mail_free};

struct http_call *mail_send(struct http_client *c, const struct mail_spec *spec, mail_cb *cb, void *arg) {
    struct http_call *call = http_call_new(c, &kind_mail, arg);
    if (call != NULL) {
        call->cb.mail = cb;
        if (!err_is_set(call->err)) {
            http_call_refuse(call, prepare(call, spec));
        }
        http_call_submit(call, spec->deadline_ms);
    }
    return call;
}
