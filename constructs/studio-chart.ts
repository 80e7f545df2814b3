import { Chart } from 'cdk8s';
import type { Construct } from 'constructs';
import { type Identity, objectLabels } from './labels';

export interface StudioChartProps {
  readonly namespace: string;
  /** What the chart's objects are labelled as. */
  readonly identity: Identity;
}

/** A chart of one studio. Its objects carry the chart's labels, and names as written: a moved construct renames nothing. */
export class StudioChart extends Chart {
  private readonly instance: string;
  private identity: Identity;

  constructor(scope: Construct, id: string, { namespace, identity }: StudioChartProps) {
    super(scope, id, { namespace, disableResourceNameHashes: true });
    this.instance = namespace;
    this.identity = identity;
  }

  override get labels(): Record<string, string> {
    return { ...objectLabels(this.instance, this.identity) };
  }

  /** Builds a part of the chart that is labelled as something of its own. */
  protected as<Part>(identity: Identity, build: () => Part): Part {
    const own = this.identity;
    this.identity = identity;
    try {
      return build();
    } finally {
      this.identity = own;
    }
  }
}
