/* One journal-class job among everything that may touch it: two workers, each of which may stop or die at any step, leases that may end at
 * any time, a relay, an epoch pass, an API process, an operator who replays the job once, and one breakdown of Redis. README.md says what
 * stands for what. Each d_step is one Function call, one SQL statement, or one decision of a process.
 *
 * -D takes safeguards away: NO_… and SETTLE_BEFORE_FINISH; OLD_MERGE and OLD_PRESENCE are two mistakes that were in the code. */

#define COPIES 2 /* of the job in the stream at a time; who would add one more waits */

/* ---- Postgres ---- */

#define OPEN 1 /* platform.job.state = 'waiting' */
#define DONE 2
#define DEAD 3
byte row;     /* 0: not accepted yet */
byte row_gen; /* generation */
byte row_ep;  /* epoch: a nonce, of which it matters only whether it is the one of :e */
#define CURRENT 1 /* 0: NULL */
#define OTHER 2
byte eff;     /* outcome of the terminal effect row; 0: none */
byte eff_gen;
bit made[2]; /* by generation: its effect was written. Only looked at by assertions */
bit did;     /* so was an effect 'done', of whichever generation */

/* ---- Redis ---- */

#define WAITING 1 /* in the stream, not delivered */
#define PENDING 2
#define NOBODY 2 /* handed back, or of a consumer that is gone: up to whoever sweeps */
typedef Entry { byte st; byte owner; byte gen };
#define GONE COPIES /* the entry that is not there any more: ids are never used again */
Entry e[COPIES + 1];
byte delayed;  /* 0: no; else 1 + generation: one per job id */
bit epoch = 1; /* there is an :e */
bit ready = 1; /* it reads "ready <this run> <nonce>" */
bit group = 1;
bit restarted; /* 1 after the breakdown */

/* ---- processes ---- */

#define IDLE 0
#define HOLDING 1  /* claimed; waiting, or its handler runs */
#define ENDED 2    /* the effect row said how */
#define SETTLING 3 /* the row is finished */
#define AGAIN 4    /* to be retried */
typedef Worker { byte at; byte slot; byte gen; byte end; bit lost /* its entry was taken, rightly */ };
Worker w[2];

typedef Placer { byte at; byte gen; byte nonce };
Placer api, relay, pass;
#define SELECTED 1
#define ADDED 2
#define COLLECT 3
#define HEAL 4
#define PRESENT 5
#define READY 6
bit pass_old /* Redis broke meanwhile */, pass_saw;

byte k; /* scratch of atomic steps, 0 outside */

/* ---- steps of Redis ---- */

#define HERE(i) (e[i].st != 0)
#define LIVE (HERE(0) + HERE(1))
#define ROOM (LIVE < COPIES)
#define OWNED(x) (HERE(w[x].slot) && e[w[x].slot].owner == x)

/* XADD */
#define APPEND(g) if :: HERE(0) -> k = 1 :: else -> k = 0 fi; e[k].st = WAITING; e[k].owner = NOBODY; e[k].gen = g; k = 0

/* XDEL, XACK. rightly: whoever else holds it has nothing to complain of */
inline remove(i, rightly) {
    e[i].st = 0;
    e[i].owner = 0;
    e[i].gen = 0;
    point_at_nothing(0, i, rightly);
    point_at_nothing(1, i, rightly)
}

inline point_at_nothing(y, i, rightly) {
    if
    :: w[y].at != IDLE && w[y].slot == i ->
        w[y].lost = w[y].lost || rightly;
        w[y].slot = GONE
    :: else
    fi
}

/* delay() of the Functions: one per job; a newer generation is not overwritten */
inline delay(x) {
#ifdef OLD_MERGE
    delayed = w[x].gen + 1
#else
    delayed = (delayed > w[x].gen + 1 -> delayed : w[x].gen + 1)
#endif
}

/* ---- steps of Postgres ---- */

/* EFFECT_GATE and EFFECT_ANSWER: first row wins; a dead one of an older generation is opened again */
inline effect(x, how) {
    if
#ifdef NO_GATE
    :: true ->
#elif defined(NO_REOPEN_CHECK)
    :: eff == 0 || eff == DEAD ->
#else
    :: eff == 0 || (eff == DEAD && eff_gen < w[x].gen) ->
#endif
        assert(!made[w[x].gen]); /* never two effects of one generation */
        assert(!(how == DONE && did)); /* nor two that are done */
        made[w[x].gen] = 1;
        did = did || how == DONE;
        eff = how;
        eff_gen = w[x].gen;
        agrees()
    :: else
    fi
}

inline agrees() {
    assert(row < DONE || (row == eff && row_gen == eff_gen)) /* the effect never disagrees with the finished row */
}

/* journal.finish */
inline finish(x) {
    if
#ifdef NO_GENERATION
    :: row == OPEN -> row = w[x].end; row_ep = 0
#else
    :: row == OPEN && row_gen == w[x].gen -> row = w[x].end; row_ep = 0
    :: row == OPEN && row_gen > w[x].gen -> row_ep = 0
#endif
    :: else
    fi;
    agrees()
}

/* journal.mark; a row that is held is skipped: the callers may do without */
#define MARK(p) if :: row == OPEN && row_gen == p.gen -> row_ep = p.nonce :: else fi

/* ---- epochs ---- */

/* Redis has another run id; a pass that is under way will not make :e ready for it */
inline restart() {
    restarted = 1;
    ready = 0;
    pass_old = pass.at != IDLE
}

/* No nonce but a new one is that of :e */
#define SUPERSEDE(x) if :: x == CURRENT -> x = OTHER :: else fi
inline supersede() {
    SUPERSEDE(row_ep);
    SUPERSEDE(api.nonce);
    SUPERSEDE(relay.nonce);
    SUPERSEDE(pass.nonce)
}

/* ---- fewer states: two workers, and two entries, may change their names ---- */

#define RANK(x) (w[x].at + 5 * (w[x].gen + 2 * (w[x].end + 4 * (w[x].lost + 2 * w[x].slot))))
#define ENTRY_RANK(i) (e[i].st + 3 * (e[i].gen + 2 * e[i].owner))
#define SWAP(a, b) k = a; a = b; b = k; k = 0
#define RENAME(x, a, b) x = (x == a -> b : (x == b -> a : x))

inline swap_workers() {
    SWAP(w[0].at, w[1].at);
    SWAP(w[0].slot, w[1].slot);
    SWAP(w[0].gen, w[1].gen);
    SWAP(w[0].end, w[1].end);
    SWAP(w[0].lost, w[1].lost);
    RENAME(e[0].owner, 0, 1);
    RENAME(e[1].owner, 0, 1)
}

inline swap_entries() {
    SWAP(e[0].st, e[1].st);
    SWAP(e[0].gen, e[1].gen);
    SWAP(e[0].owner, e[1].owner);
    if :: w[0].at != IDLE -> RENAME(w[0].slot, 0, 1) :: else fi;
    if :: w[1].at != IDLE -> RENAME(w[1].slot, 0, 1) :: else fi
}

inline tidy() {
    if :: ENTRY_RANK(0) > ENTRY_RANK(1) -> swap_entries() :: else fi;
    if :: RANK(0) > RANK(1) -> swap_workers() :: else fi;
    if :: ENTRY_RANK(0) > ENTRY_RANK(1) -> swap_entries() :: else fi
}

/* ---- a worker ---- */

inline drop(x) {
    w[x].at = IDLE;
    w[x].slot = 0;
    w[x].gen = 0;
    w[x].end = 0;
    w[x].lost = 0
}

/* Who did not lose its lease finds its entry where it was: nobody but a settle, by whom the effect was told, takes it away. */
inline undisturbed(x) { assert(w[x].lost || OWNED(x)) }

inline take(x, i) {
    w[x].at = HOLDING;
    w[x].slot = i;
    w[x].gen = e[i].gen;
    e[i].st = PENDING;
    e[i].owner = x
}

inline sweep(x, i) {
    if
    :: w[1 - x].at != IDLE && w[1 - x].slot == i -> w[1 - x].lost = 1
    :: else
    fi;
    take(x, i)
}

inline settle(x) {
    k = w[x].slot;
    if
    :: HERE(k) -> remove(k, 1)
    :: else
    fi;
    k = 0
}

inline retry(x) {
    k = w[x].slot;
    if
#ifdef NO_FENCE
    :: HERE(k) ->
#else
    :: OWNED(x) ->
#endif
        delay(x);
        remove(k, 0)
    :: else
    fi;
    k = 0
}

inline hand_back(x) {
    if
#ifdef NO_FENCE
    :: HERE(w[x].slot) ->
#else
    :: OWNED(x) ->
#endif
        e[w[x].slot].owner = NOBODY
    :: else
    fi
}

inline let_go(x, i) {
    if
    :: HERE(i) && e[i].owner == x -> e[i].owner = NOBODY
    :: else
    fi
}

#define CLAIM(i) :: d_step { w[me].at == IDLE && group && e[i].st == WAITING -> take(me, i); tidy() } /* claim */
#define SWEEP(i) :: d_step { w[me].at == IDLE && group && e[i].st == PENDING -> sweep(me, i); tidy() } /* sweep: the lease is over */

proctype Works(byte me) {
end:
    do
    CLAIM(0) CLAIM(1) SWEEP(0) SWEEP(1)
    :: d_step { w[me].at == HOLDING -> effect(me, DONE); w[me].end = eff; w[me].at = ENDED; tidy() } /* the handler's effect */
    :: d_step { w[me].at == HOLDING -> effect(me, DONE); w[me].at = AGAIN; tidy() } /* the handler's effect; its answer is lost */
    :: d_step { w[me].at == HOLDING -> effect(me, DEAD); w[me].end = eff; w[me].at = ENDED; tidy() } /* burial */
    :: d_step { w[me].at == HOLDING -> effect(me, DEAD); w[me].at = AGAIN; tidy() } /* burial; its answer is lost */
    :: d_step { w[me].at == HOLDING -> w[me].at = AGAIN; tidy() } /* the handler fails */
    :: d_step { w[me].at == HOLDING && group -> undisturbed(me); hand_back(me); drop(me); tidy() } /* hand back */
    :: d_step { w[me].at == HOLDING && group && !OWNED(me) -> undisturbed(me); drop(me); tidy() } /* a renewal says lost, before the start */
#ifdef SETTLE_BEFORE_FINISH
    :: d_step { w[me].at == ENDED -> settle(me); w[me].at = SETTLING; tidy() } /* settle, too early */
    :: d_step { w[me].at == SETTLING -> finish(me); drop(me); tidy() } /* finish, too late */
#else
    :: d_step { w[me].at == ENDED -> finish(me); w[me].end = 0; w[me].gen = 0; w[me].at = SETTLING; tidy() } /* finish */
    :: d_step { w[me].at == ENDED -> finish(me); w[me].end = 0; w[me].at = AGAIN; tidy() } /* finish; its answer is lost */
    :: d_step { w[me].at == ENDED -> w[me].end = 0; w[me].at = AGAIN; tidy() } /* finish does not reach Postgres */
    :: d_step { w[me].at == SETTLING -> undisturbed(me); settle(me); drop(me); tidy() } /* settle */
    :: d_step { w[me].at == SETTLING && HERE(w[me].slot) -> undisturbed(me); settle(me); tidy() } /* settle; its answer is lost: again */
#endif
    :: d_step { w[me].at == AGAIN && group -> undisturbed(me); retry(me); drop(me); tidy() } /* retry */
    :: d_step { w[me].at == AGAIN && group && OWNED(me) -> retry(me); w[me].lost = 1; tidy() } /* retry; its answer is lost: again */
    :: d_step { w[me].at == AGAIN && group && OWNED(me) && !restarted -> delay(me); restart(); tidy() } /* Redis dies inside a retry */
    :: d_step { w[me].at != IDLE -> let_go(me, w[me].slot); drop(me); tidy() } /* the worker dies; its next life has another name */
    od
}

/* ---- placing: the API after its commit, the relay, the epoch pass ---- */

#define REST(p) p.at = IDLE; p.gen = 0; p.nonce = 0

/* pen_add_1: with its answer, the nonce of :e; where there is none nothing is marked */
#define ADD(p) APPEND(p.gen); if :: epoch -> p.nonce = CURRENT; p.at = ADDED :: else -> REST(p) fi

proctype Api() {
    atomic { row = OPEN; api.at = SELECTED };
end:
    do
    :: d_step { api.at == SELECTED && ROOM -> ADD(api); tidy() } /* API: add */
    :: d_step { api.at == SELECTED && ROOM -> APPEND(api.gen); REST(api); tidy() } /* API: add; its answer is lost */
    :: d_step { api.at == ADDED -> MARK(api); REST(api); tidy() } /* API: mark */
    :: d_step { api.at != IDLE -> REST(api); tidy() } /* API: dies */
    od
}

#ifndef NO_RELAY
proctype Relay() {
end:
    do
    :: d_step { relay.at == IDLE && row == OPEN && row_ep == 0 -> relay.gen = row_gen; relay.at = SELECTED; tidy() } /* relay: select */
    :: d_step { relay.at == SELECTED && ROOM -> ADD(relay); tidy() } /* relay: add */
    :: d_step { relay.at == SELECTED && ROOM -> APPEND(relay.gen); REST(relay); tidy() } /* relay: add; its answer is lost */
    :: d_step { relay.at == ADDED -> MARK(relay); REST(relay); tidy() } /* relay: mark */
    :: d_step { relay.at != IDLE -> REST(relay); tidy() } /* relay: dies */
    od
}
#endif

inline end_pass() {
    REST(pass);
    pass_old = 0;
    pass_saw = 0
}

/* What the audit sees as marked by another epoch, or the second's look at :e */
#define PASS_NEEDED (!ready || (row == OPEN && row_ep == OTHER))
#define TO_HEAL (row == OPEN && row_ep == OTHER)
#ifdef OLD_PRESENCE
#define SEEN pass_saw
#else
#define SEEN (pass_saw && row_gen == 0)
#endif

#ifndef NO_PASS
proctype Pass() {
end:
    do
    :: d_step { pass.at == IDLE && PASS_NEEDED -> group = 1; epoch = 1; ready = 0; supersede(); pass.at = COLLECT; tidy() } /* pass: rebuilding */
    :: d_step { pass.at == COLLECT -> pass_saw = LIVE > 0 || delayed; pass.at = HEAL; tidy() } /* pass: walk */
    :: d_step { pass.at == HEAL && !TO_HEAL -> pass.at = READY; tidy() } /* pass: nothing to heal */
    :: d_step { pass.at == HEAL && TO_HEAL && SEEN -> pass.gen = row_gen; pass.nonce = 1 + pass_old; pass.at = PRESENT; tidy() } /* pass: is there */
    :: d_step { pass.at == HEAL && TO_HEAL && !SEEN -> pass.gen = row_gen; pass.at = SELECTED; tidy() } /* pass: is absent */
    :: d_step { pass.at == SELECTED && ROOM -> ADD(pass); if :: pass.at == IDLE -> end_pass() :: else fi; tidy() } /* pass: add */
    :: d_step { pass.at == SELECTED && ROOM -> APPEND(pass.gen); end_pass(); tidy() } /* pass: add; its answer is lost */
    :: d_step { pass.at == ADDED || pass.at == PRESENT -> MARK(pass); REST(pass); pass.at = READY; tidy() } /* pass: mark */
    :: d_step { pass.at == READY -> ready = !pass_old; end_pass(); tidy() } /* pass: ready */
    :: d_step { pass.at != IDLE -> end_pass(); tidy() } /* pass: stops */
    od
}
#endif

/* ---- the world ---- */

proctype World() {
end:
    do
    :: d_step { delayed && ROOM -> APPEND(delayed - 1); delayed = 0; tidy() } /* promote */
    :: d_step { row == DEAD && row_gen == 0 -> row = OPEN; row_gen = 1; row_ep = 0; tidy() } /* replay */
    :: d_step { delayed && ROOM && !restarted -> APPEND(delayed - 1); restart(); tidy() } /* Redis dies inside a promotion */
    :: d_step { !restarted -> restart(); tidy() } /* Redis is started again, whole */
    :: d_step { !restarted -> restart(); supersede(); group = 0; epoch = 0; delayed = 0; remove(0, 1); remove(1, 1); tidy() } /* Redis comes back empty */
    od
}

/* An accepted job that is not terminal is in Redis, or somebody is bound to put it there: the relay, since its row is not marked, or the
 * epoch pass, since :e or the mark is of another epoch. */
#ifdef NO_RELAY
#define RELAYED (row_ep == 0 && api.at != IDLE)
#else
#define RELAYED (row_ep == 0)
#endif
#ifdef NO_PASS
#define HEALED false
#else
#define HEALED PASS_NEEDED
#endif
#ifdef SETTLE_BEFORE_FINISH
#define FINISHING (w[0].at == SETTLING || w[1].at == SETTLING)
#else
#define FINISHING false
#endif
#define LOST (row == OPEN && LIVE == 0 && !delayed && !RELAYED && !HEALED && !FINISHING)

active proctype Judge() {
end:
    atomic { LOST -> assert(!LOST) }
}

#ifdef WITNESS /* no safeguard: it must be found reachable, or the model is blind */
active proctype Witness() {
end:
    atomic { row == DONE && row_gen == 1 && restarted -> assert(false) }
}
#endif

init {
    atomic {
        run Works(0);
        run Works(1);
        run Api();
#ifndef NO_RELAY
        run Relay();
#endif
#ifndef NO_PASS
        run Pass();
#endif
        run World()
    }
}
