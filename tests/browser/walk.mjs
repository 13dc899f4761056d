// Every page, every action by mouse and by keyboard, hostile texts, the stream cut, signing in; screenshots when asked for.
import {failures, launch, scene} from './browser.mjs';
import {controls} from './controls.mjs';
import {keyboard} from './keyboard.mjs';
import {mouse} from './mouse.mjs';
import {pages} from './pages.mjs';
import {screenshots} from './screenshots.mjs';
import {signing} from './signing.mjs';
import {stream} from './stream.mjs';

const browser = await launch();
try {
  for (const part of [controls, pages, ...(scene.shots ? [screenshots] : []), keyboard, mouse, signing, stream]) {
    await part(browser);
  }
} finally {
  await browser.close();
}
console.log(failures.length === 0 ? 'the walk is clean' : `${failures.length} failed: ${failures.join('; ')}`);
process.exit(failures.length === 0 ? 0 : 1);
