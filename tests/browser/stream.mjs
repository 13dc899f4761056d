// The stream of figures: cut, resumed; a page that was open all the time goes on by itself.
import {ask, check, equal, sees, tab, taken, until, visit} from './browser.mjs';

const linkState = (page) => page.$eval('.link-state', (one) => one.className);

export async function stream(browser) {
  const page = await tab(browser);
  await check('the stream is silent: the page says so, and goes on by itself', async () => {
    await visit(page, '/ui/');
    await until('live', async () => (await linkState(page)).includes('is-live'));
    await ask('freeze');
    await until('stale', async () => (await linkState(page)).includes('is-stale'));
    await ask('thaw');
    await until('live', async () => (await linkState(page)).includes('is-live'));
  });
  await check('the stream is cut: the page says so and keeps its figures', async () => {
    await visit(page, '/ui/');
    await until('live', async () => (await linkState(page)).includes('is-live'));
    await page.evaluate(() => (globalThis.same = true));
    await ask('cut');
    await until('lost', async () => (await linkState(page)).includes('is-lost'));
    await sees(page, 'Out / s', 'main');
  });
  await check('the stream is resumed: the same page is live again', async () => {
    await ask('resume');
    await until('live', async () => (await linkState(page)).includes('is-live'));
    equal(await page.evaluate(() => globalThis.same), true, 'without loading it anew');
  });
  await check('the stream: nothing broke a policy', () => equal(taken(), [], 'breaches'));
  await page.browserContext().close();
}
