import type { Remark } from './derive';
import type { Settings } from './schema';

/** What the studio asks of the edge. */
export const aspects = {
  redirect: 'HTTP → HTTPS',
  limits: 'requests by client address',
  body: 'size of a body',
  timeout: 'longest request',
  idle: 'silent WebSockets',
  tls: 'TLS 1.2 at least',
  affinity: 'one client, one pod of web',
} as const;

export type Aspect = keyof typeof aspects;

export const dialects = [
  'traefik',
  'ingress-nginx',
  'nginx',
  'haproxy',
  'gateway-api: traefik',
  'gateway-api: envoy-gateway',
  'gateway-api: nginx-gateway-fabric',
] as const;

export type Dialect = (typeof dialects)[number];

export const dialectOf = ({ edge }: Pick<Settings, 'edge'>): Dialect =>
  edge.dialect === 'gateway-api' ? `${edge.dialect}: ${edge.implementation}` : edge.dialect;

/** Whether the edge's pods are in the namespace of the studio, and not in that of their controller. */
export const edgeRunsHere = (settings: Pick<Settings, 'edge'>): boolean => dialectOf(settings) === 'gateway-api: nginx-gateway-fabric';

const WEB_BODY = 'web refuses larger ones with 413';
const WEB_TIMEOUT = 'web gives up after performance.gunicorn.timeoutSeconds';
const TRAEFIK: Partial<Record<Aspect, string>> = {
  body: WEB_BODY,
  timeout: `${WEB_TIMEOUT}; the entry point's respondingTimeouts must leave time for an upload`,
  idle: 'Traefik leaves an open WebSocket alone, and web closes it after websocket.idleDays',
};
const NGINX_TLS = "the controller's ConfigMap says it (ssl-protocols), and has TLS 1.2 and 1.3 unless it is changed";

/** What a dialect cannot say, and what stands in for it. */
export const unsaid: Readonly<Record<Dialect, Readonly<Partial<Record<Aspect, string>>>>> = {
  traefik: TRAEFIK,
  'ingress-nginx': { tls: NGINX_TLS },
  nginx: { tls: NGINX_TLS },
  haproxy: {
    body: WEB_BODY,
    idle: "the controller's ConfigMap says it (timeout-tunnel, 1 h unless it is changed), and pings keep a WebSocket from being silent",
    tls: 'HAProxy has TLS 1.2 and 1.3 unless its configuration is changed',
  },
  'gateway-api: traefik': { ...TRAEFIK, tls: 'a TLSOption named default says it, and Traefik has TLS 1.2 and 1.3 without one' },
  'gateway-api: envoy-gateway': {},
  'gateway-api: nginx-gateway-fabric': {},
};

/** What a person should know of the chosen dialect. */
export const edgeRemarks = (settings: Settings): Remark[] => {
  const dialect = dialectOf(settings);
  const left = (Object.keys(unsaid[dialect]) as Aspect[]).map(aspect => aspects[aspect]);
  const path = settings.edge.dialect === 'gateway-api' ? 'edge.implementation' : 'edge.dialect';
  return left.length > 0 ? [{ path, message: `${dialect} cannot say ${left.join(', ')}: docs/edge.md tells what stands in` }] : [];
};
