// Every page: it shows its data, has no fault that axe finds in light and dark, fits a phone, breaks no policy, runs no text.
import {accessible, api, check, DESK, equal, fits, go, PHONE, scene, sees, settled, tab, taken, visit} from './browser.mjs';

/** [address, what it must say]; groups: the fingerprints of what is dead. */
export async function addresses() {
  const {body} = await api('GET', '/v1/dlq');
  const fingerprint = (id) => body.items.find((one) => one.id === id)?.fingerprint;
  return [
    ['/ui/', 'Objectives, over'], ['/ui/queues/default', 'Limits in force'], ['/ui/jobs', 'demo.note'],
    [`/ui/jobs?q=${encodeURIComponent('state:dead type:shop.flaky')}`, 'shop.flaky'], [`/ui/jobs/${scene.dead[0]}`, /globalThis\.hit[^]*B{300}/], [`/ui/jobs/${scene.alone[0]}`, 'Show all 65,'],
    [`/ui/jobs/${scene.done}`, 'done'], [`/ui/dead`, scene.dead[1]], [`/ui/dead/group?queue=default&fingerprint=${encodeURIComponent(fingerprint(scene.dead[0]))}`, /Dry run[^]*Since release\s+\d+\.\d+\.\d+|Since release\s+\d+\.\d+\.\d+[^]*Dry run/],
    ['/ui/workers', 'Processes'], ['/ui/schedules', 'nightly'], ['/ui/audit', /schedule/], ['/ui/settings', 'redis.url'],
    [`/ui/orders/${scene.order}`, 'event order.confirmed'], [`/ui/payments/${scene.payment}`, 'authorize succeeded'], [`/ui/notifications/${scene.notification}`, 'job notify.email'],
    ['/ui/jobs/00000000-0000-7000-8000-000000000000', 'no job of this id'], ['/ui/nowhere', 'no page at this address'],
  ];
}

const scheme = (page, value) => page.emulateMediaFeatures([{name: 'prefers-reduced-motion', value: 'reduce'}, {name: 'prefers-color-scheme', value}]);

async function look(page, path, wanted) {
  await go(page, path);
  await sees(page, wanted, 'main');
  await settled(page);
  await accessible(page, 'light');
  await scheme(page, 'dark');
  await accessible(page, 'dark');
  await scheme(page, 'light');
  await page.setViewport({width: PHONE.width, height: PHONE.height});
  await fits(page, 'on a phone it');
  await page.setViewport(DESK);
  equal(await page.evaluate(() => globalThis.hit), undefined, 'a text was run');
  equal(taken(), [], 'breaches');
}

export async function pages(browser) {
  const page = await tab(browser);
  await check('the first view', async () => {
    let bytes = 0;
    const session = await page.createCDPSession();
    await session.send('Network.enable');
    session.on('Network.loadingFinished', (event) => (bytes += event.encodedDataLength));
    await visit(page, '/ui/');
    await sees(page, 'Out / s', 'main');
    console.log(`        ${bytes} bytes over the wire, headers and data included`);
    if (bytes > 60_000 || bytes < 10_000) {
      throw new Error(`${bytes} bytes`);
    }
  });
  for (const [path, wanted] of await addresses()) {
    await check(path, () => look(page, path, wanted));
  }
  await check('a page is there when it is asked for directly', async () => {
    await visit(page, `/ui/jobs/${scene.done}`);
    await sees(page, 'done', 'main');
  });
  await check('characters that would turn a text around are shown by their code', async () => {
    await visit(page, `/ui/jobs/${scene.dead[1]}`);
    await sees(page, '⟨U+202E⟩gnp.exe', 'main');
    equal(await page.$eval('main', (main) => /[\u202a-\u202e\u2066-\u2069]/.test(main.textContent)), false, 'one is left');
  });
  await check('on a phone the pages are behind a button', async () => {
    await page.setViewport({width: PHONE.width, height: PHONE.height});
    await (await page.waitForSelector('.menu')).click();
    await page.waitForSelector('#rail.is-open');
    await accessible(page, 'the menu');
    await fits(page, 'the menu');
    await (await page.waitForSelector('#rail a[href="/ui/workers"]')).click();
    await sees(page, 'Processes', 'main');
    await page.setViewport(DESK);
  });
  await check('an error of 64 KiB is cut until it is asked for', async () => {
    await visit(page, `/ui/jobs/${scene.alone[0]}`);
    await settled(page);
    const length = await page.$eval('main', (main) => main.textContent.length);
    if (length > 20_000) {
      throw new Error(`the page has ${length} characters`);
    }
  });
  await page.browserContext().close();
}
