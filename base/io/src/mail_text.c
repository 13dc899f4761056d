#include "mail_text.h"

#include <base/crypto.h>

#include <time.h>

/* An encoded word has at most 75 characters, its line 76 with "Subject: " before it: 39 bytes become 52 characters of
 * base64 within 12 of frame. A line of the body: 57 bytes become 76 characters. */
enum { WORD_BYTES = 39, LINE_BYTES = 57, PLAIN_SUBJECT_BYTES = 900 };

static bool is_one_line(struct str s) {
    return s.n == 0 || (memchr(s.p, '\r', s.n) == NULL && memchr(s.p, '\n', s.n) == NULL && memchr(s.p, '\0', s.n) == NULL);
}

/* Visible ASCII without what would end an address or begin another one. */
static bool is_bare(struct str s, size_t max) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch <= ' ' || ch >= 0x7f || memchr("<>,;:\"()[]\\", ch, 11) != NULL) {
            return false;
        }
    }
    return s.n > 0 && s.n <= max;
}

static bool is_address(struct str s) {
    struct str local;
    struct str rest = s;
    return is_bare(s, MAIL_ADDRESS_BYTES) && str_cut(&rest, '@', &local) && local.n > 0 && rest.n > 0 &&
           memchr(rest.p, '@', rest.n) == NULL;
}

struct err mail_check(const struct mail_spec *spec) {
    if (!is_address(spec->from) || !is_address(spec->to)) {
        return err_make(ERR_INVALID, "from and to must each be one bare address, local@domain, in ASCII");
    }
    if (!is_bare(spec->message_id, MAIL_ID_BYTES)) {
        return err_make(ERR_INVALID, "message_id must be visible ASCII without <>, at most %d bytes", MAIL_ID_BYTES);
    }
    if (!is_one_line(spec->subject) || spec->subject.n > MAIL_SUBJECT_BYTES) {
        return err_make(ERR_INVALID, "the subject must be one line of at most %d bytes", MAIL_SUBJECT_BYTES);
    }
    return OK;
}

static bool needs_encoding(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool looks_encoded = ch == '=' && i + 1 < s.n && s.p[i + 1] == '?';
        if (ch < ' ' || ch >= 0x7f || looks_encoded) {
            return true;
        }
    }
    return s.n > PLAIN_SUBJECT_BYTES;
}

/* How much of s goes into one encoded word: no character of UTF-8 may be torn. */
static size_t word_bytes(struct str s) {
    size_t n = s.n < WORD_BYTES ? s.n : WORD_BYTES;
    size_t back = 0;
    while (n < s.n && back < 3 && ((unsigned char)s.p[n - back] & 0xc0U) == 0x80) {
        back++;
    }
    return n - back;
}

static void add_subject(struct buf *out, struct str s) {
    buf_add_c(out, "Subject: ");
    if (!needs_encoding(s)) {
        buf_add(out, s);
        s.n = 0;
    }
    for (bool first = true; s.n > 0; first = false) {
        size_t n = word_bytes(s);
        buf_add_c(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
        base64_add(out, str_of(s.p, n));
        buf_add_c(out, "?=");
        s = str_of(s.p + n, s.n - n);
    }
    buf_add_c(out, "\r\n");
}

static void add_date(struct buf *out, struct wall now) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(now.ms / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    buf_addf(out, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d +0000\r\n", days + (size_t)tm.tm_wday * 3, tm.tm_mday,
             months + (size_t)tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void add_body(struct buf *out, struct str text) {
    while (text.n > 0) {
        size_t n = text.n < LINE_BYTES ? text.n : LINE_BYTES;
        base64_add(out, str_of(text.p, n));
        buf_add_c(out, "\r\n");
        text = str_of(text.p + n, text.n - n);
    }
}

struct err mail_compose(const struct mail_spec *spec, struct wall now, struct buf *out) {
    add_date(out, now);
    buf_addf(out, "From: <%.*s>\r\nTo: <%.*s>\r\n", STR_ARG(spec->from), STR_ARG(spec->to));
    add_subject(out, spec->subject);
    buf_addf(out, "Message-ID: <%.*s>\r\n", STR_ARG(spec->message_id));
    buf_add_c(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    add_body(out, spec->text);
    return buf_status(out);
}
