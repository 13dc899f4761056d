// Without a mouse: every action by keys alone, and the focus stays where a reader expects it.
import {accessible, api, busyProcess, check, equal, scene, sees, settled, tab, taken, until, visit} from './browser.mjs';

const keys = async (page, ...all) => {
  for (const key of all) {
    await page.keyboard.press(key);
  }
};

const dialogOpen = (page) => until('a dialog opens', () => page.$('dialog[open]'));
const dialogGone = (page) => until('the dialog closes', async () => !await page.$('dialog[open]'));

/** Moves to the row that says so, by j. */
async function row(page, name) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('j');
    if (await page.evaluate((wanted) => document.activeElement.closest('[data-box]')?.innerText.includes(wanted), name)) {
      return;
    }
  }
  throw new Error(`no row says ${name}`);
}

async function confirm(page) {
  await dialogOpen(page);
  await page.keyboard.press('Enter');
  await dialogGone(page);
}

async function steering(page) {
  await check('keys: a queue is paused and resumed', async () => {
    await visit(page, '/ui/');
    await sees(page, 'Out / s', 'main');
    await row(page, 'default');
    for (const paused of [true, false]) {
      await page.keyboard.press('p');
      await dialogOpen(page);
      await page.keyboard.type('by keys');
      await page.keyboard.press('Enter');
      await dialogGone(page);
      await until(`paused: ${paused}`, async () => (await api('GET', '/v1/queues/default')).body.paused === paused);
      await until('the row shows it', () => page.evaluate((wanted) => document.activeElement.closest('[data-box]')?.innerText.includes('paused') === wanted, paused));
    }
  });
  await check('keys: a queue is scaled up and given back', async () => {
    const before = (await api('GET', '/v1/scale/default')).body.workers;
    await page.keyboard.press('+');
    await confirm(page);
    await until('one more', async () => (await api('GET', '/v1/scale/default')).body.workers === before + 1);
    await keys(page, 'g', 'w');
    await sees(page, 'Processes', 'main');
    await row(page, 'default');
    await until('give back is there', () => page.evaluate(() => !document.activeElement.closest('[data-box]').querySelector('[aria-keyshortcuts="a"]').disabled));
    await page.keyboard.press('a');
    await confirm(page);
    await until('not pinned', async () => !(await api('GET', '/v1/scale/default')).body.pinned);
  });
}

async function workers(page) {
  await check('keys: a process is opened, quiet, resumed and stopped', async () => {
    const {name, job, is, others} = await busyProcess();
    await visit(page, '/ui/workers');
    await sees(page, name, 'main');
    await row(page, name);
    await page.keyboard.press('Enter');
    await sees(page, job, 'main');
    for (const quiet of [true, false]) {
      await page.keyboard.press('p');
      await dialogOpen(page);
      await page.keyboard.type('by keys');
      await page.keyboard.press('Enter');
      await dialogGone(page);
      await until(`quiet: ${quiet}`, () => is(quiet));
      await until('the row shows it', () => page.evaluate((wanted) => /\bquiet\b/.test(document.activeElement.closest('[data-box]')?.innerText) === wanted, quiet));
    }
    await page.keyboard.press('x');
    await dialogOpen(page);
    await page.keyboard.press('Enter');
    await dialogGone(page);
    await until('another', async () => (await others()).length === 1);
    await api('PUT', '/v1/scale/default', {workers: 'auto'});
  });
}

async function jobs(page) {
  await check('keys: a job is found by completion, opened, and cancelled', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('ty');
    await page.waitForSelector('[role=option]');
    await accessible(page, 'completions');
    await keys(page, 'ArrowDown', 'Enter');
    await page.keyboard.type('demo.note');
    await page.keyboard.press('Enter');
    await until('the filter is in the address', async () => new URL(page.url()).searchParams.get('q') === 'type:demo.note');
    await settled(page);
    await keys(page, 'j', 'Enter');
    await until('a job is shown', () => /\/ui\/jobs\/[0-9a-f-]{36}$/.test(page.url()));
    await page.keyboard.press('/');
    await page.keyboard.down('Control');
    await page.keyboard.press('a');
    await page.keyboard.up('Control');
    await page.keyboard.type(scene.delayed[0]);
    await page.keyboard.press('Enter');
    await sees(page, 'delayed', 'main');
    await page.keyboard.press('c');
    await confirm(page);
    await sees(page, 'cancelled', 'main');
    equal((await api('GET', `/v1/jobs/${scene.delayed[0]}`)).body.state, 'cancelled', 'state');
  });
  await check('keys: a dead job is retried', async () => {
    await visit(page, `/ui/jobs/${scene.alone[2]}`);
    await sees(page, 'dead', '.page-head');
    await page.keyboard.press('r');
    await confirm(page);
    await sees(page, 'waits again', '.toasts');
  });
}

async function schedules(page) {
  await check('keys: a schedule is made, paused, run and deleted', async () => {
    await keys(page, 'g', 's');
    await sees(page, 'nightly', 'main');
    await page.keyboard.press('n');
    await dialogOpen(page);
    await page.keyboard.type('by-keys');
    await page.keyboard.press('Tab');
    await page.keyboard.type('0 4 * * *');
    await keys(page, 'Tab', 'Tab', 'Tab');
    await page.keyboard.type('demo.note');
    await page.keyboard.press('Tab');
    await page.$eval('#field-payload', (field) => field.select());
    await page.keyboard.type('{"text":"typed"}');
    await keys(page, 'Tab');
    await page.focus('dialog button[type=submit]');
    await page.keyboard.press('Enter');
    await dialogGone(page);
    await sees(page, 'by-keys', 'main');
    await row(page, 'by-keys');
    await page.keyboard.press('p');
    await confirm(page);
    await until('paused', async () => (await api('GET', '/v1/schedules/by-keys')).body.paused);
    await row(page, 'by-keys');
    await page.keyboard.press('x');
    await dialogOpen(page);
    await page.keyboard.type('by-keys');
    await page.keyboard.press('Enter');
    await dialogGone(page);
    equal((await api('GET', '/v1/schedules/by-keys')).status, 404, 'status');
  });
}

export async function keyboard(browser) {
  const page = await tab(browser);
  await check('keys: skip link, help, places', async () => {
    await visit(page, '/ui/');
    await page.keyboard.press('Tab');
    equal(await page.evaluate(() => document.activeElement.className), 'skip', 'the first stop');
    await page.keyboard.press('?');
    await dialogOpen(page);
    await accessible(page, 'the list of keys');
    await page.keyboard.press('Escape');
    await dialogGone(page);
    for (const [key, path] of [['j', '/ui/jobs'], ['d', '/ui/dead'], ['a', '/ui/audit'], ['t', '/ui/settings'], ['o', '/ui/']]) {
      await keys(page, 'g', key);
      await until(`g ${key}`, () => new URL(page.url()).pathname === path);
    }
  });
  await steering(page);
  await workers(page);
  await jobs(page);
  await schedules(page);
  await check('keys: nothing broke a policy', () => equal(taken(), [], 'breaches'));
  await page.browserContext().close();
}
