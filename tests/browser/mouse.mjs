// Every action by mouse: what it does is asked of the API, not of the page.
import {accessible, api, ask, busyProcess, button, check, confirm, DESK, equal, fits, PHONE, press, scene, sees, settled, tab, taken, text, until, visit} from './browser.mjs';

const fill = async (page, selector, value) => {
  await page.waitForSelector('dialog[open]'); // opened, it takes the focus
  await page.waitForSelector(selector);
  await page.$eval(selector, (field) => field.select?.());
  await page.type(selector, value);
};

async function steering(page) {
  await check('mouse: a queue is paused and resumed, and the dialog shows the commands', async () => {
    await visit(page, '/ui/');
    await press(page, 'Pause default');
    await fill(page, '#field-reason', "it's a test");
    const said = await text(page, 'dialog');
    for (const wanted of ['curl -X POST', '/v1/queues/default/pause', '$PENSTOCK_KEY', "penstock queue pause default --reason 'it'\\''s a test'"]) {
      equal(said.includes(wanted), true, `the dialog says ${wanted}`);
    }
    await accessible(page, 'a dialog');
    await confirm(page, 'Pause default');
    await until('paused', async () => (await api('GET', '/v1/queues/default')).body.paused);
    await sees(page, 'default is paused', '.troubles');
    await press(page, 'Resume default', '.queues');
    await confirm(page, 'Resume default');
    await until('resumed', async () => !(await api('GET', '/v1/queues/default')).body.paused);
  });
  await check('mouse: a queue is scaled', async () => {
    await press(page, 'One worker more for default');
    await fill(page, '#field-workers', '2');
    await confirm(page, 'Set workers');
    const {body} = await api('GET', '/v1/scale/default');
    equal([body.workers, body.pinned], [2, true], 'scale');
    await until('two run', async () => /2\s+of 2/.test(await text(page, '.queues tr:has([aria-label="Pause default"]) .workers')));
    await press(page, 'One worker fewer for default');
    await fill(page, '#field-workers', 'auto');
    await confirm(page, 'Set workers');
  });
}

async function workers(page) {
  const {name, consumer, job, is, others} = await busyProcess();
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await check('mouse: what a process runs is asked for when somebody opens it, and not before', async () => {
    await visit(page, '/ui/workers');
    await press(page, name);
    await sees(page, job, 'section[aria-label="Processes"]');
    await sees(page, 'demo.sleep', 'section[aria-label="Processes"]');
    await accessible(page, 'a process that is opened');
    await page.setViewport({width: PHONE.width, height: PHONE.height});
    await fits(page, 'on a phone it');
    await page.setViewport(DESK);
    const jobs = () => asked.filter((path) => path.endsWith('/jobs')).length;
    equal(jobs(), 1, 'times');
    await press(page, 'Look again');
    await until('it was asked once more', () => jobs() === 2);
  });
  await check('mouse: a process is quiet, and goes on, and the dialog shows the commands', async () => {
    await press(page, `Quiet ${name}`);
    await fill(page, '#field-reason', 'a look');
    const said = await text(page, 'dialog');
    for (const wanted of [`/v1/workers/${encodeURIComponent(name)}/quiet`, consumer, `penstock worker quiet ${name} --reason 'a look'`]) {
      equal(said.includes(wanted), true, `the dialog says ${wanted}`);
    }
    await accessible(page, 'the dialog of an order');
    await confirm(page, 'Quiet');
    await until('quiet', () => is(true));
    await press(page, `Resume ${name}`);
    await confirm(page, 'Resume');
    await until('awake', () => is(false));
    equal((await api('GET', `/v1/audit?action=worker.quiet&target=${encodeURIComponent(name)}`)).body.items[0].detail.reason, 'a look', 'reason');
  });
  await check('mouse: a process is stopped, and another takes its place', async () => {
    await button(page, `Quiet ${name}`); // the row knows that it is awake
    await press(page, `Stop ${name}`);
    await confirm(page, 'Stop');
    await until('another', async () => (await others()).length === 1);
    await api('PUT', '/v1/scale/default', {workers: 'auto'});
  });
}

async function limits(page) {
  await check('mouse: the limits of a queue are changed', async () => {
    await visit(page, '/ui/queues/default');
    await press(page, 'Change', 'section[aria-label="Limits in force"]');
    await fill(page, '#field-max_drain_seconds', '777');
    await confirm(page, 'Set limits');
    await until('the limit holds', async () => (await api('GET', '/v1/queues/default')).body.limits.max_drain_seconds === 777);
    await sees(page, '12 m 57 s', 'main');
  });
  await check('mouse: a type is limited, and let go', async () => {
    await visit(page, '/ui/settings');
    await press(page, 'New limit');
    await fill(page, '#field-limit', 'type:shop.alone');
    await fill(page, '#field-rate_per_second', '2.5');
    await confirm(page, 'Set');
    await sees(page, 'type:shop.alone', 'main');
    await until('the limit is there', async () => (await api('GET', '/v1/limits')).body.items.some((one) => one.limit === 'type:shop.alone' && one.rate_per_second === 2.5));
    await press(page, 'End type:shop.alone');
    await confirm(page, 'End the limit');
    await sees(page, 'Nobody is limited', 'main');
  });
}

async function jobs(page) {
  await check('mouse: a job is cancelled', async () => {
    await visit(page, `/ui/jobs/${scene.delayed[1]}`);
    await press(page, 'Cancel');
    await confirm(page, 'Cancel the job');
    equal((await api('GET', `/v1/jobs/${scene.delayed[1]}`)).body.state, 'cancelled', 'state');
  });
  await check('mouse: a stale page is told that the job is not dead any more, and nothing is done', async () => {
    await visit(page, `/ui/jobs/${scene.dead[1]}`);
    await button(page, 'Edit and replay'); // the last one: no button moves any more
    await press(page, 'Retry', '.page-head');
    equal((await api('POST', '/v1/dlq/default/discard', {ids: [scene.dead[1]]})).body.discarded, 1, 'another operator was faster');
    await press(page, 'Retry', 'dialog');
    await sees(page, 'The job is not dead', 'dialog');
    await press(page, 'Cancel', 'dialog');
    equal((await api('POST', '/v1/dlq/default/restore', {ids: [scene.dead[1]]})).body.restored, 1, 'back');
  });
  await check('mouse: a broken filter says what is wrong', async () => {
    await visit(page, `/ui/jobs?q=${encodeURIComponent('state:asleep hello')}`);
    await sees(page, 'not understood', 'main');
  });
  await check('mouse: a dead job is edited and replayed as a new one', async () => {
    await visit(page, `/ui/jobs/${scene.dead[0]}`);
    await press(page, 'Edit and replay');
    await page.waitForSelector('dialog[open] #field-payload'); // opened, it takes the focus
    await page.$eval('#field-payload', (field) => (field.focus(), field.select()));
    await page.keyboard.type('{"n": ');
    await until('no command for half a payload', async () => !(await text(page, 'dialog')).includes('curl'));
    await page.keyboard.type('99}');
    await sees(page, '/replay', 'dialog');
    await press(page, 'Replay as a new job', 'dialog');
    await until('the new job is shown', () => /\/ui\/jobs\/[0-9a-f-]{36}$/.test(page.url()) && !page.url().endsWith(scene.dead[0]));
    await sees(page, 'Replay of', 'main');
    await sees(page, '99', '.json');
  });
}

async function dead(page) {
  const {body} = await api('GET', '/v1/dlq');
  const fingerprintOf = (id) => body.items.find((one) => one.id === id).fingerprint;
  const fingerprint = fingerprintOf(scene.dead[3]);
  await check('mouse: one dead job is retried', async () => {
    await visit(page, '/ui/dead');
    await sees(page, scene.alone[1], 'main');
    const box = await page.waitForSelector(`tr:has(a[href="/ui/jobs/${scene.alone[1]}"]) [aria-label="Retry this job"]`);
    await box.click();
    await confirm(page, 'Retry');
    await sees(page, 'waits again', '.toasts');
  });
  await check('mouse: a discard is undone', async () => {
    const box = await page.waitForSelector(`tr:has(a[href="/ui/jobs/${scene.dead[4]}"]) [aria-label="Discard this job"]`);
    await box.click();
    await confirm(page, 'Discard');
    await until('it is gone', async () => !(await api('GET', '/v1/dlq')).body.items.some((one) => one.id === scene.dead[4]));
    await press(page, 'Undo', '.toasts');
    await until('it is back', async () => (await api('GET', '/v1/dlq')).body.items.some((one) => one.id === scene.dead[4]));
  });
  await check('mouse: a group is retried: dry run, canary, the rest', async () => {
    await visit(page, `/ui/dead/group?queue=default&fingerprint=${encodeURIComponent(fingerprint)}`);
    await press(page, 'Dry run');
    await sees(page, /\d+ jobs match/, '.bulk');
    await ask('mend');
    await press(page, 'Try one');
    await sees(page, 'It worked', '.bulk');
    const more = await until('the rest', () => page.$('.bulk .buttons .primary'));
    await more.click();
    const n = /Type (\d+) to confirm/.exec(await text(page, 'dialog'))[1];
    equal(await page.$eval('dialog button[type=submit]', (one) => one.disabled), true, 'locked until it is typed');
    await fill(page, '#field-rate', '64');
    await fill(page, '#confirm', n);
    equal(/penstock bulk retry --queue default --fingerprint '.*' --expect \d+ --rate 64/.test(await text(page, 'dialog')), true, 'its command');
    await confirm(page, 'Retry the rest');
    await sees(page, 'The rest is a job', '.bulk');
    await sees(page, /run again\./, '.bulk');
    await until('none is dead', async () => (await api('GET', `/v1/jobs/${scene.dead[3]}?wait=5s`)).body.state === 'done');
  });
  await check('mouse: a group is edited: patch, dry run, all', async () => {
    const id = scene.alone[2];
    await visit(page, `/ui/dead/group?queue=default&fingerprint=${encodeURIComponent(fingerprintOf(id))}`);
    await press(page, 'Patch…');
    await fill(page, '#field-patch', '{"n": 4711}');
    equal(/penstock bulk edit --queue default --fingerprint '.*' --patch '\{"n":4711\}'/.test(await text(page, 'dialog')), true, 'its command');
    await confirm(page, 'Dry run');
    await sees(page, /\d+ jobs of class journal match/, '[aria-label=Edit]');
    await (await page.waitForSelector('[aria-label=Edit] .primary')).click();
    await fill(page, '#confirm', /Type (\d+) to confirm/.exec(await text(page, 'dialog'))[1]);
    await confirm(page, 'Edit and run again');
    await sees(page, /run again\./, '[aria-label=Edit]');
    const {replays: [made]} = (await api('GET', `/v1/jobs/${id}/detail`)).body;
    equal((await api('GET', `/v1/jobs/${made}/detail`)).body.payload.n, 4711, 'the payload');
  });
}

async function schedules(page) {
  await check('mouse: a schedule is run now', async () => {
    await visit(page, '/ui/schedules');
    await press(page, 'Run now, nightly');
    await confirm(page, 'Run now');
    await until('its job is shown', () => /\/ui\/jobs\/[0-9a-f-]{36}$/.test(page.url()));
  });
  await check('mouse: colours are turned, and kept', async () => {
    await press(page, 'Colours: system');
    await press(page, 'Colours: light');
    await visit(page, '/ui/');
    await button(page, 'Colours: dark');
    equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark', 'scheme');
  });
}

export async function mouse(browser) {
  const page = await tab(browser);
  await steering(page);
  await workers(page);
  await limits(page);
  await jobs(page);
  await dead(page);
  await schedules(page);
  await check('mouse: nothing broke a policy', () => equal(taken(), [], 'breaches'));
  await page.browserContext().close();
}
