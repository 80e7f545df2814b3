import { ApiObject, type App } from 'cdk8s';

const WAVE = 'argocd.argoproj.io/sync-wave';

/** Has Argo CD apply charts in the order of their numbers, each once what came before it is healthy. */
export function numberWaves(app: App): void {
  for (const { node } of app.node.children) {
    const wave = /^\d+/.exec(node.id)?.[0];
    if (wave === undefined) throw new Error(`${node.id}: the name of a chart begins with its number`);
    for (const object of node.findAll().filter(ApiObject.isApiObject)) object.metadata.addAnnotation(WAVE, `${Number(wave)}`);
  }
}
