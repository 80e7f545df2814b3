import { Construct } from 'constructs';
import {
  BackendTrafficPolicy,
  BackendTrafficPolicySpecLoadBalancerConsistentHashType,
  BackendTrafficPolicySpecLoadBalancerType,
  BackendTrafficPolicySpecRateLimitLocalRulesClientSelectorsSourceCidrType,
  BackendTrafficPolicySpecRateLimitLocalRulesLimitUnit,
  BackendTrafficPolicySpecRateLimitType,
  BackendTrafficPolicySpecRequestBufferLimit,
  ClientTrafficPolicy,
  ClientTrafficPolicySpecTlsMinVersion,
} from '../imports/gateway.envoyproxy.io';
import { Gateway, HttpRoute } from '../imports/gateway.networking.k8s.io';
import { COOKIE, type EdgeProps, type Limit } from './edge-description';
import { duration, StudioGateway } from './studio-gateway';

const { SECOND, MINUTE } = BackendTrafficPolicySpecRateLimitLocalRulesLimitUnit;
const UNIT = { second: SECOND, minute: MINUTE } as const;
const group = 'gateway.networking.k8s.io';

/** Every address, each with a count of its own. */
const eachClient = ['0.0.0.0/0', '::/0'].map(value => ({
  sourceCidr: { type: BackendTrafficPolicySpecRateLimitLocalRulesClientSelectorsSourceCidrType.DISTINCT, value },
}));

const rateLimit = ({ requests, per }: Limit) => ({
  type: BackendTrafficPolicySpecRateLimitType.LOCAL,
  local: { rules: eachClient.map(client => ({ clientSelectors: [client], limit: { requests, unit: UNIT[per] } })) },
});

/** The studio's Gateway as Envoy Gateway serves it: what Gateway API has no words for is in policies, one a way. */
export class EnvoyGateway extends Construct {
  constructor(scope: Construct, id: string, { description, className }: EdgeProps) {
    super(scope, id);
    new StudioGateway(this, 'gateway', {
      description,
      className,
      // A request that streams may take as long as it is not silent, which its policy says.
      rule: ({ streams, timeoutSeconds }) => ({ timeouts: { request: streams ? '0s' : duration(timeoutSeconds) } }),
    });
    new ClientTrafficPolicy(this, 'clients', {
      metadata: { name: 'studio' },
      spec: {
        targetRefs: [{ group, kind: Gateway.GVK.kind, name: StudioGateway.gatewayName }],
        tls: { minVersion: ClientTrafficPolicySpecTlsMinVersion.VALUE_1_2 },
      },
    });
    for (const { name, limit, streams, timeoutSeconds } of description.ways) {
      new BackendTrafficPolicy(this, name, {
        metadata: { name },
        spec: {
          targetRefs: [{ group, kind: HttpRoute.GVK.kind, name }],
          loadBalancer: {
            type: BackendTrafficPolicySpecLoadBalancerType.CONSISTENT_HASH,
            consistentHash: {
              type: BackendTrafficPolicySpecLoadBalancerConsistentHashType.COOKIE,
              cookie: { name: COOKIE, ttl: '24h', attributes: { SameSite: 'Lax', Secure: 'true', HttpOnly: 'true' } },
            },
          },
          timeout: { http: { streamIdleTimeout: duration(timeoutSeconds) } },
          ...(limit && { rateLimit: rateLimit(limit) }),
          // Envoy holds such a body in memory; what streams cannot be held.
          ...(!streams && { requestBuffer: { limit: BackendTrafficPolicySpecRequestBufferLimit.fromNumber(description.maxBodyBytes) } }),
        },
      });
    }
  }
}
