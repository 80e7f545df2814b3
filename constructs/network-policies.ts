import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { privateRanges } from '../config/repository';
import type { Workload } from './workload';

/** Pods, and what they are called in a policy's name. */
export type Pods = Pick<Workload, 'name' | 'selector'>;

/** All pods of another namespace. */
export interface OtherNamespace {
  readonly namespace: string;
}

/** Addresses outside of the cluster, and what they are called in a policy's name. */
export interface Place {
  readonly name: string;
  readonly addresses: readonly string[];
}

/** A connection that is allowed: between pods, or to or from a place outside of the namespace. */
export type Flow = { readonly why: string } & (
  | { readonly from: Pods; readonly to: Pods | OtherNamespace | Place; readonly ports: readonly number[] }
  | { readonly from: 'edge' | 'anywhere' | OtherNamespace; readonly to: Pods; readonly ports: readonly number[] }
  | { readonly from: Pods; readonly to: 'dns' | 'internet' | 'api-server' }
);

export interface NetworkPoliciesProps {
  /** Namespaces that the controller of the edge may run in, or the edge's own pods where these are beside the studio's. */
  readonly edge: readonly OtherNamespace[] | Pods;
  /** Addresses of the cluster's API server. */
  readonly apiServer: readonly string[];
  readonly flows: readonly Flow[];
}

const tcp = (port: number): k8s.NetworkPolicyPort => ({ protocol: 'TCP', port: k8s.IntOrString.fromNumber(port) });
const udp = (port: number): k8s.NetworkPolicyPort => ({ protocol: 'UDP', port: k8s.IntOrString.fromNumber(port) });
const namespaceSelector = (name: string): k8s.LabelSelector => ({ matchLabels: { 'kubernetes.io/metadata.name': name } });
const podSelector = ({ selector }: Pods): k8s.LabelSelector => ({ matchLabels: { ...selector } });

/** Ports of the places that have their own. Behind its Service the API server listens on either, and a policy sees the one behind. */
const placePorts = { dns: [53], internet: [443], 'api-server': [443, 6443] } as const;

export const portsOf = (flow: Flow): readonly number[] => ('ports' in flow ? flow.ports : placePorts[flow.to]);

const outside = {
  /** The pods of cluster DNS, and the address of NodeLocal DNSCache. */
  dns: {
    to: [
      { namespaceSelector: namespaceSelector('kube-system'), podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } },
      { ipBlock: { cidr: '169.254.20.10/32' } },
    ],
    ports: [...placePorts.dns.map(udp), ...placePorts.dns.map(tcp)],
  },
  /** HTTPS to public addresses: not to private ones, nor to a cloud's metadata. */
  internet: {
    to: [
      { ipBlock: { cidr: '0.0.0.0/0', except: [...privateRanges.ipv4] } },
      { ipBlock: { cidr: '::/0', except: [...privateRanges.ipv6] } },
    ],
    ports: placePorts.internet.map(tcp),
  },
} as const satisfies Record<string, { to: readonly k8s.NetworkPolicyPeer[]; ports: readonly k8s.NetworkPolicyPort[] }>;

export const apiServerRule = (addresses: readonly string[]): k8s.NetworkPolicyEgressRule => ({
  to: addresses.map(cidr => ({ ipBlock: { cidr } })),
  ports: placePorts['api-server'].map(tcp),
});

/** Nothing reaches a pod of the namespace, and no pod reaches anything, unless a flow says so. */
export class NetworkPolicies extends Construct {
  /** The flows of the app's studio. */
  static flowsOf(app: Construct): readonly Flow[] {
    return app.node.findAll().flatMap(child => (child instanceof NetworkPolicies ? child.flows : []));
  }

  readonly flows: readonly Flow[];

  constructor(scope: Construct, id: string, { edge, apiServer, flows }: NetworkPoliciesProps) {
    super(scope, id);
    this.flows = flows;
    const policy = (name: string, spec: k8s.NetworkPolicySpec) => new k8s.KubeNetworkPolicy(this, name, { metadata: { name }, spec });
    const egress = (pods: Pods, to: string, rule: k8s.NetworkPolicyEgressRule) =>
      policy(`${pods.name}-to-${to}`, { podSelector: podSelector(pods), policyTypes: ['Egress'], egress: [rule] });
    const ingress = (pods: Pods, from: string, rule: k8s.NetworkPolicyIngressRule) =>
      policy(`${pods.name}-from-${from}`, { podSelector: podSelector(pods), policyTypes: ['Ingress'], ingress: [rule] });
    const places = {
      ...outside,
      'api-server': apiServerRule(apiServer),
    };

    policy('default-deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
    for (const flow of flows) {
      if (!('ports' in flow)) {
        const { to, ports } = places[flow.to];
        egress(flow.from, flow.to, { to: [...(to ?? [])], ports: [...(ports ?? [])] });
        continue;
      }
      const { to } = flow;
      const from = flow.from === 'edge' ? edge : flow.from;
      const ports = flow.ports.map(tcp);
      if (from === 'anywhere') {
        ingress(to as Pods, 'anywhere', { from: ['0.0.0.0/0', '::/0'].map(cidr => ({ ipBlock: { cidr } })), ports });
      } else if (!('selector' in from) && !('namespace' in from)) {
        const peers = from.map(({ namespace }) => ({ namespaceSelector: namespaceSelector(namespace) }));
        ingress(to as Pods, 'edge', { from: peers, ports });
      } else if ('namespace' in from) {
        ingress(to as Pods, from.namespace, { from: [{ namespaceSelector: namespaceSelector(from.namespace) }], ports });
      } else if ('namespace' in to) {
        const name = [to.namespace, ...flow.ports].join('-');
        egress(from, name, { to: [{ namespaceSelector: namespaceSelector(to.namespace) }], ports });
      } else if ('addresses' in to) {
        egress(from, to.name, { to: to.addresses.map(cidr => ({ ipBlock: { cidr } })), ports });
      } else {
        egress(from, to.name, { to: [{ podSelector: podSelector(to) }], ports });
        ingress(to, from.name, { from: [{ podSelector: podSelector(from) }], ports });
      }
    }
  }
}
