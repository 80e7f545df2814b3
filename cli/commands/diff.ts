import { loadSettings } from '../../config';
import { explain, findManaged, toPrune, wantedState } from '../apply';
import { Cluster } from '../cluster';
import { type Difference, differences } from '../differences';
import { manifests } from '../manifests';
import { type KubernetesObject, title } from '../objects';
import type { CommonOptions, Outcome } from '../outcome';
import { lastDeployed, listRevisions, type Revision, unrecorded } from '../revisions';
import { style } from '../style';

export interface DiffOptions extends CommonOptions {
  /** Compare with the last revision that was deployed. */
  readonly deployed?: boolean;
}

export interface ObjectDifference {
  /** Such as `Deployment/backend`. */
  readonly object: string;
  /** Whether it is in the cluster and should not be, should be and is not, or is there and should be different. */
  readonly state: 'extra' | 'missing' | 'different';
  readonly fields: readonly Difference[];
}

export interface DiffResult {
  readonly environment: string;
  readonly namespace: string;
  readonly context: string;
  /** Number of the revision that the cluster was compared with; absent where that was git. */
  readonly revision?: number;
  readonly differences: readonly ObjectDifference[];
}

/** Of a value, and of the lines of a text. */
const SHOWN_CHARACTERS = 100;
const SHOWN_LINES = 12;

const shorten = (text: string): string => (text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text);

function describeValue(value: unknown): string {
  if (value === undefined) return '(none)';
  return shorten(typeof value === 'string' && !value.includes('\n') ? value : JSON.stringify(value));
}

const describeLines = (mark: string, lines: readonly string[]): string[] => [
  ...lines.slice(0, SHOWN_LINES).map(line => `${mark} ${shorten(line)}`),
  ...(lines.length > SHOWN_LINES ? [`${mark} … ${lines.length - SHOWN_LINES} more lines`] : []),
];

/** The lines between the first and the last that differ. */
function compareTexts(live: string, wanted: string): { live: string[]; wanted: string[] } {
  const [before, after] = [live.split('\n'), wanted.split('\n')];
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  return { live: before.slice(head, before.length - tail), wanted: after.slice(head, after.length - tail) };
}

function describeField({ path, live, wanted }: Difference): string[] {
  if (typeof live === 'string' && typeof wanted === 'string' && `${live}${wanted}`.includes('\n')) {
    const lines = compareTexts(live, wanted);
    return [
      `  ${path}`,
      ...describeLines('-', lines.live).map(line => `    ${style('red', line)}`),
      ...describeLines('+', lines.wanted).map(line => `    ${style('green', line)}`),
    ];
  }
  return [`  ${path}: ${style('red', describeValue(live))} → ${style('green', describeValue(wanted))}`];
}

function describeObject({ object, state, fields }: ObjectDifference, wanted: string): string {
  if (state === 'missing') return `${style('bold', object)}: missing in the cluster`;
  if (state === 'extra') return `${style('bold', object)}: not in ${wanted}`;
  return [style('bold', object), ...fields.flatMap(describeField)].join('\n');
}

async function compareObject(cluster: Cluster, manifest: KubernetesObject): Promise<ObjectDifference[]> {
  const object = title(manifest);
  const live = await cluster.get(manifest);
  if (live === undefined) return [{ object, state: 'missing', fields: [] }];
  const wanted = await wantedState(cluster, live, manifest).catch(error => {
    throw explain(error, manifest);
  });
  const fields = differences(live, wanted);
  return fields.length > 0 ? [{ object, state: 'different', fields }] : [];
}

async function findDeployed(cluster: Cluster, environment: string, namespace: string): Promise<Revision> {
  const revision = lastDeployed(await listRevisions(cluster, namespace));
  if (revision === undefined) throw unrecorded(environment, namespace);
  return revision;
}

async function compare({ env, context, deployed }: DiffOptions): Promise<Outcome<DiffResult>> {
  const settings = loadSettings(env);
  const { environment, namespace } = settings;
  const cluster = Cluster.connect(context);
  const revision = deployed ? await findDeployed(cluster, environment, namespace) : undefined;
  const objects = revision?.objects ?? manifests(settings).flatMap(chart => chart.objects);
  const [compared, managed] = await Promise.all([
    Promise.all(objects.map(object => compareObject(cluster, object))),
    findManaged(cluster, namespace),
  ]);
  const extra = toPrune(managed, objects).map((object): ObjectDifference => ({ object: title(object), state: 'extra', fields: [] }));
  const found = [...compared.flat(), ...extra];
  const wanted = revision ? `revision ${revision.number}` : 'git';
  const said = revision ? `what revision ${revision.number} made it` : 'what git says';
  const summary =
    found.length === 0
      ? `${namespace} of the cluster "${cluster.context}" is ${said}.`
      : `${found.length} object(s) in ${namespace} of the cluster "${cluster.context}" are not ${said}; each field as it is → as it should be:`;
  return {
    ok: found.length === 0,
    result: { environment, namespace, context: cluster.context, ...(revision && { revision: revision.number }), differences: found },
    text: [summary, ...found.map(object => describeObject(object, wanted))].join('\n\n'),
  };
}

/** Tells what the cluster has that git does not say, field by field. As with diff(1), the exit code 2 means that nobody knows. */
export const diff = (options: DiffOptions): Promise<Outcome> =>
  compare(options).catch((error): Outcome => ({ ok: false, exitCode: 2, result: {}, text: '', error }));
