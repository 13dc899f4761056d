import {Act, cli, reason, toast, withReason} from '../action.js';
import {query} from '../api.js';
import {Chip, Empty, html, Page, Text, When} from '../html.js';
import {List} from '../parts.js';
import {go, to} from '../router.js';

const path = (schedule, verb) => `/v1/schedules/${encodeURIComponent(schedule.id)}${verb ? `/${verb}` : ''}`;

const pause = (schedule, reload) => {
  const verb = schedule.paused ? 'resume' : 'pause';
  return {
    title: `${schedule.paused ? 'Resume' : 'Pause'} ${schedule.name}`, needs: 'operate', fields: [reason],
    text: schedule.paused ? 'It goes on with its next tick; those of the pause are left out.' : 'It makes no jobs until it is resumed.',
    request: (values) => ({method: 'POST', path: path(schedule, verb), body: withReason(values)}),
    cli: (values) => cli('schedule', verb, schedule.name, values.reason && '--reason', values.reason),
    done: () => (toast(`${schedule.name} is ${schedule.paused ? 'resumed' : 'paused'}`), reload()),
  };
};

const runNow = (schedule, reload) => {
  const key = crypto.randomUUID();
  return {
    title: `Run ${schedule.name} now`, verb: 'Run now', needs: 'operate', text: 'Its job is put into the queue once, whatever its ticks.',
    request: () => ({method: 'POST', path: path(schedule, 'run'), headers: {'Idempotency-Key': key}}),
    cli: () => cli('schedule', 'run', schedule.name, '--key', key),
    done: (answer) => (toast(`${schedule.name}: a job was made`), answer?.id ? go(to.job(answer.id)) : reload()),
  };
};

const remove = (schedule, reload) => ({
  title: `Delete ${schedule.name}`, verb: 'Delete', danger: true, needs: 'operate', confirm: schedule.name, text: 'It makes no more jobs. Those it has made go on.',
  request: () => ({method: 'DELETE', path: path(schedule)}), cli: () => cli('schedule', 'delete', schedule.name),
  done: () => (toast(`${schedule.name} is deleted`), reload()),
});

const fields = (schedule) => [
  {name: 'name', label: 'Name', value: schedule.name, pattern: '[A-Za-z0-9_.\\-]{1,64}'},
  {name: 'cron', label: 'When', value: schedule.cron ?? '', hint: 'minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly'},
  {name: 'timezone', label: 'Time zone', value: schedule.timezone ?? 'UTC'},
  {name: 'missed', label: 'Ticks that were missed', type: 'select', options: ['once', 'skip', 'all'], value: schedule.missed ?? 'once'},
  {name: 'type', label: 'Type of the job', value: schedule.type ?? ''},
  {name: 'payload', label: 'Payload', type: 'textarea', rows: 5, value: JSON.stringify(schedule.payload ?? {}, null, 2)},
];

const make = (reload) => ({
  title: 'New schedule', verb: 'Make it', needs: 'operate', fields: fields({name: ''}),
  request: (values) => ({method: 'POST', path: '/v1/schedules', body: {...values, payload: JSON.parse(values.payload)}}),
  cli: (values) => cli('schedule', 'create', values.name, values.type, '--cron', values.cron, '--timezone', values.timezone, '--missed', values.missed, '-d', values.payload.replace(/\s*\n\s*/g, '')),
  done: (answer) => (toast(`${answer.name} is made`), reload?.()),
});

const Row = ({item, reload}) => html`<tr data-box>
  <th scope="row"><${Text} of=${item.name} />${item.paused && html` <${Chip} kind="paused">paused</${Chip}>`}</th>
  <td data-label="When"><code>${item.cron}</code> <span class="muted"><${Text} of=${item.timezone} /></span></td>
  <td data-label="Job"><${Text} of=${item.type} /> <span class="muted">in</span> <a data-row href=${to.queue(item.queue)}><${Text} of=${item.queue} /></a></td>
  <td data-label="Missed">${item.missed}</td>
  <td data-label="Next"><${When} at=${item.next_at} /></td><td data-label="Last"><${When} at=${item.last_at} /></td>
  <td class="end"><${Act} action=${runNow(item, reload)} keys="r" class="quiet" label=${`Run now, ${item.name}`}>Run now</${Act}>
    <${Act} action=${pause(item, reload)} icon=${item.paused ? 'play' : 'pause'} keys="p" class="quiet icon-only" label=${`${item.paused ? 'Resume' : 'Pause'} ${item.name}`} />
    <${Act} action=${remove(item, reload)} icon="trash" keys="x" class="quiet icon-only" label=${`Delete ${item.name}`} /></td></tr>`;

export function Schedules({params}) {
  const cursor = params.get('cursor');
  const reload = () => go(`/ui/schedules${query({made: Date.now()})}`, {replace: true});
  return html`<${Page} title="Schedules" sub="jobs that come again" actions=${html`<${Act} action=${make(reload)} icon="plus" keys="n" class="primary">New schedule</${Act}>`}>
    <${List} class="cards" key=${params.get('made')} path="/v1/schedules" params=${{limit: 50, cursor}} what="The list of schedules" columns=${[['Name'], ['When'], ['Job'], ['Missed'], ['Next'], ['Last'], [html`<span class="unseen">Actions</span>`, 'end']]}
      Row=${Row} every=${30_000} empty=${html`<${Empty} icon="schedules">There is no schedule yet.</${Empty}>`} address=${(next) => `/ui/schedules${query({cursor: next})}`} /></${Page}>`;
}
