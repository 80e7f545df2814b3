import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import type { Settings } from '../config/schema';
import { above, always, below, buckets, heatmap, never, now, pods, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

const DAY_SECONDS = 86_400;

/** Requests as nginx sees them, behind the edge, and the certificate that the edge serves. */
export const web = (settings: Settings) =>
  studioDashboard('web', 'Requests as nginx sees them behind the edge, and the certificate.', `nginx_up{${studio}}`)
    .withRow(new RowBuilder('Health'))
    .withPanel(
      stat('nginx answers', 'In all chosen pods.', units.BoolYesNo, always)
        .links(runbooks(settings, 'OrfeasWebDown'))
        .withTarget(now(`min(nginx_up{${pods}})`)),
    )
    .withPanel(
      stat('Certificate', 'Time until it expires.', units.Seconds, above(7 * DAY_SECONDS, 21 * DAY_SECONDS))
        .noValue('no certificate')
        .links(runbooks(settings, 'OrfeasCertificateExpires'))
        .withTarget(now(`min(orfeas_certificate_expiry_timestamp_seconds{${studio}}) - time()`)),
    )
    .withPanel(
      stat('Requests', 'In the time range.', units.Short, unlimited).withTarget(
        now(`sum(increase(web_http_requests_total{${pods}}[$__range]))`),
      ),
    )
    .withPanel(
      stat('Errors of ours', 'Share of answers with a status of 500 and above, in the time range.', units.PercentUnit, below(0.005, 0.05))
        .links(runbooks(settings, 'OrfeasAvailabilityBurn'))
        .withTarget(
          now(
            `(sum(increase(web_http_requests_total{${pods},status=~"5.."}[$__range])) or vector(0)) / sum(increase(web_http_requests_total{${pods}}[$__range]))`,
          ),
        ),
    )
    .withPanel(
      stat('Refused by a limit', 'Requests that web answered with 429 in the time range.', units.Short, unlimited)
        .links(runbooks(settings, 'OrfeasRateLimitHitsUsers'))
        .withTarget(now(`sum(increase(web_http_requests_total{${pods},status="429"}[$__range])) or vector(0)`)),
    )
    .withPanel(
      stat('Connections dropped', 'By nginx in the time range, for want of room.', units.Short, never).withTarget(
        now(`sum(increase(nginx_connections_accepted{${pods}}[$__range]) - increase(nginx_connections_handled{${pods}}[$__range]))`),
      ),
    )
    .withRow(new RowBuilder('Requests'))
    .withPanel(
      timeSeries('Requests by route', 'Of all pods.', units.RequestsPerSecond, unlimited).withTarget(
        query(`orfeas:http_requests:rate5m{${studio}}`, '{{route}}'),
      ),
    )
    .withPanel(
      timeSeries('Requests by status', 'Of the chosen pods.', units.RequestsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasAvailabilityBurn'))
        .withTarget(query(`sum by (status) (rate(web_http_requests_total{${pods}}[$__rate_interval]))`, '{{status}}')),
    )
    .withPanel(
      timeSeries('Errors of ours by route', 'Answers with a status of 500 and above.', units.RequestsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasAvailabilityBurn'))
        .withTarget(query(`orfeas:http_errors:rate5m{${studio}}`, '{{route}}')),
    )
    .withPanel(
      timeSeries('Requests by pod', 'How evenly the edge spreads them.', units.RequestsPerSecond, unlimited).withTarget(
        query(`sum by (pod) (rate(web_http_requests_total{${pods}}[$__rate_interval]))`, '{{pod}}'),
      ),
    )
    .withPanel(
      timeSeries(
        'Refused by a limit',
        `Answers with 429: by web, and by the backend. A client may send ${settings.rateLimiting.apiPerMinute} requests to the API a minute, and ${settings.rateLimiting.jobsPerHour} jobs an hour.`,
        units.RequestsPerSecond,
        unlimited,
      )
        .links(runbooks(settings, 'OrfeasRateLimitHitsUsers'))
        .withTarget(query(`sum(rate(web_http_requests_total{${pods},status="429"}[$__rate_interval])) or vector(0)`, 'web'))
        .withTarget(query(`sum by (limit) (rate(orfeas_rate_limited_requests_total{${studio}}[$__rate_interval]))`, 'backend: {{limit}}')),
    )
    .withPanel(
      timeSeries('Backend away', 'Requests for which nginx got no answer from the backend.', units.RequestsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasBackendDown'))
        .withTarget(query(`sum(rate(web_upstream_errors_total{${pods}}[$__rate_interval])) or vector(0)`, 'errors')),
    )
    .withRow(new RowBuilder('Time to answer'))
    .withPanel(
      timeSeries('95 of 100 requests', 'Are answered within this time, by route.', units.Seconds, unlimited).withTarget(
        query(`orfeas:http_request_duration_seconds:p95{${studio}}`, '{{route}}'),
      ),
    )
    .withPanel(
      timeSeries('The API', 'Half, 95 and 99 of 100 requests to it are answered within this time.', units.Seconds, unlimited)
        .withTarget(query(`orfeas:http_request_duration_seconds:p50{${studio},route="api"}`, 'half'))
        .withTarget(query(`orfeas:http_request_duration_seconds:p95{${studio},route="api"}`, '95 of 100'))
        .withTarget(query(`orfeas:http_request_duration_seconds:p99{${studio},route="api"}`, '99 of 100')),
    )
    .withPanel(
      heatmap('All requests', 'How many took how long. Socket.IO is not timed.', units.Seconds).withTarget(
        buckets(`sum by (le) (rate(web_http_request_duration_seconds_bucket{${pods}}[$__rate_interval]))`),
      ),
    )
    .withPanel(
      timeSeries('Bytes sent', 'By route.', units.BytesPerSecondIEC, unlimited).withTarget(
        query(`sum by (route) (rate(web_http_response_size_bytes_total{${pods}}[$__rate_interval]))`, '{{route}}'),
      ),
    )
    .withRow(new RowBuilder('nginx'))
    .withPanel(
      timeSeries('Connections', 'Of all pods, those that Socket.IO keeps open included.', units.Short, unlimited)
        .withTarget(query(`sum(nginx_connections_active{${pods}})`, 'open'))
        .withTarget(query(`sum(nginx_connections_reading{${pods}})`, 'reading'))
        .withTarget(query(`sum(nginx_connections_writing{${pods}})`, 'writing'))
        .withTarget(query(`sum(nginx_connections_waiting{${pods}})`, 'idle')),
    )
    .withPanel(
      timeSeries('New connections', 'Accepted, and handled.', units.CountsPerSecond, unlimited)
        .withTarget(query(`sum(rate(nginx_connections_accepted{${pods}}[$__rate_interval]))`, 'accepted'))
        .withTarget(query(`sum(rate(nginx_connections_handled{${pods}}[$__rate_interval]))`, 'handled')),
    );
