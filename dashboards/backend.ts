import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { always, below, buckets, heatmap, never, now, pods, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

const perSecond = (metric: string, by: string) => query(`sum by (${by}) (rate(${metric}{${pods}}[$__rate_interval]))`, `{{${by}}}`);
const total = (metric: string, legend: string) => query(`sum(rate(${metric}{${pods}}[$__rate_interval]))`, legend);
/** Within which 95 of 100 values of a histogram are. */
const p95 = (metric: string, legend: string) =>
  query(`histogram_quantile(0.95, sum by (le) (rate(${metric}_bucket{${pods}}[$__rate_interval])))`, legend);
const p95By = (metric: string, by: string) =>
  query(`histogram_quantile(0.95, sum by (${by}, le) (rate(${metric}_bucket{${pods}}[$__rate_interval])))`, `{{${by}}}`);

/** The API, the worker and the Socket.IO server. */
export const backend = (settings: Settings) =>
  studioDashboard('backend', 'The API, the worker and the Socket.IO server.', `orfeas_build_info{${studio}}`)
    .withRow(new RowBuilder('Health'))
    .withPanel(
      stat('Pods that answer', 'The request of Prometheus for their metrics.', units.Short, always)
        .links(runbooks(settings, 'OrfeasBackendDown'))
        .withTarget(now(`sum(up{${pods},job="backend"})`)),
    )
    .withPanel(
      stat('Parts ready', 'As /ready last saw the worker, the Socket.IO server and Redis.', units.BoolYesNo, always)
        .span(8)
        .links(runbooks(settings, 'OrfeasModelNotReady', 'OrfeasRedisDown'))
        .withTarget(now(`min by (part) (orfeas_ready{${pods}})`, '{{part}}')),
    )
    .withPanel(
      stat(
        'Load of the model',
        'Time that the last one took.',
        units.Seconds,
        below(1.5 * settings.model.loadSeconds, derive.startupSeconds(settings)),
      )
        .links(runbooks(settings, 'OrfeasStartupTooSlow'))
        .withTarget(now(`max(orfeas_model_load_duration_seconds{${pods}})`)),
    )
    .withPanel(
      stat('Loads that failed', 'In the time range.', units.Short, never)
        .links(runbooks(settings, 'OrfeasModelNotReady'))
        .withTarget(now(`sum(increase(orfeas_model_load_failures_total{${pods}}[$__range]))`)),
    )
    .withPanel(
      stat('Restarts of processes', 'In the time range, of the worker and the Socket.IO server.', units.Short, never)
        .links(runbooks(settings, 'OrfeasWorkerRestarts'))
        .withTarget(now(`sum(changes((orfeas_process_start_time_seconds{${pods},process=~"worker|realtime"} > 0)[$__range:1m]))`)),
    )
    .withRow(new RowBuilder('HTTP'))
    .withPanel(
      timeSeries('Requests by route', 'Answered by Gunicorn.', units.RequestsPerSecond, unlimited).withTarget(
        perSecond('orfeas_http_requests_total', 'route'),
      ),
    )
    .withPanel(
      timeSeries('Requests by status', 'Answered by Gunicorn.', units.RequestsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasAvailabilityBurn'))
        .withTarget(perSecond('orfeas_http_requests_total', 'status')),
    )
    .withPanel(
      heatmap('Time to answer', 'How many requests took how long.', units.Seconds).withTarget(
        buckets(`sum by (le) (rate(orfeas_http_request_duration_seconds_bucket{${pods}}[$__rate_interval]))`),
      ),
    )
    .withPanel(
      timeSeries('95 of 100 requests', 'Are answered within this time, by route.', units.Seconds, unlimited).withTarget(
        p95By('orfeas_http_request_duration_seconds', 'route'),
      ),
    )
    .withPanel(
      timeSeries(
        'Failures and refusals',
        'For a reason of ours, because another site asked, or by a limit.',
        units.RequestsPerSecond,
        unlimited,
      )
        .links(runbooks(settings, 'OrfeasAvailabilityBurn', 'OrfeasRateLimitHitsUsers'))
        .withTarget(total('orfeas_http_exceptions_total', 'exceptions'))
        .withTarget(total('orfeas_http_cross_site_refusals_total', 'cross-site'))
        .withTarget(query(`sum by (limit) (rate(orfeas_rate_limited_requests_total{${pods}}[$__rate_interval]))`, 'limit: {{limit}}')),
    )
    .withPanel(
      timeSeries('Sizes', '95 of 100 bodies are at most so large.', units.BytesIEC, unlimited)
        .withTarget(p95('orfeas_http_request_size_bytes', 'requests'))
        .withTarget(p95('orfeas_http_response_size_bytes', 'answers')),
    )
    .withRow(new RowBuilder('Gunicorn'))
    .withPanel(
      timeSeries('Workers', 'That run, and that answer a request. When all are busy, requests wait.', units.Short, unlimited)
        .withTarget(query(`sum(orfeas_gunicorn_workers{${pods}})`, 'run'))
        .withTarget(query(`sum(orfeas_http_requests_in_progress{${pods}})`, 'busy')),
    )
    .withPanel(
      timeSeries(
        'Workers that come and go',
        'One ends after 1000 requests. One that is silent too long is stopped.',
        units.CountsPerSecond,
        unlimited,
      )
        .links(runbooks(settings, 'OrfeasWorkerRestarts'))
        .withTarget(total('orfeas_gunicorn_worker_starts_total', 'started'))
        .withTarget(total('orfeas_gunicorn_worker_exits_total', 'ended'))
        .withTarget(total('orfeas_gunicorn_worker_aborts_total', 'stopped, silent')),
    )
    .withRow(new RowBuilder('Uploads and downloads'))
    .withPanel(
      timeSeries('Pictures accepted', 'By type.', units.CountsPerSecond, unlimited).withTarget(perSecond('orfeas_uploads_total', 'type')),
    )
    .withPanel(
      timeSeries('Pictures refused', 'By reason.', units.CountsPerSecond, unlimited).withTarget(
        perSecond('orfeas_upload_refusals_total', 'code'),
      ),
    )
    .withPanel(
      timeSeries('Time of an upload', '95 of 100 pictures are checked, and stored, within this time.', units.Seconds, unlimited)
        .withTarget(p95('orfeas_upload_check_duration_seconds', 'checked'))
        .withTarget(p95('orfeas_upload_store_duration_seconds', 'stored')),
    )
    .withPanel(
      timeSeries('Models downloaded', 'By format.', units.CountsPerSecond, unlimited).withTarget(
        perSecond('orfeas_downloads_total', 'format'),
      ),
    )
    .withRow(new RowBuilder('Jobs'))
    .withPanel(
      timeSeries('Jobs', 'Accepted, completed, and failed by reason.', units.CountsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasJobsFailing', 'OrfeasJobSuccessBurn'))
        .withTarget(total('orfeas_jobs_submitted_total', 'accepted'))
        .withTarget(query(`orfeas:jobs_completed:rate5m{${studio}}`, 'completed'))
        .withTarget(query(`orfeas:jobs_failed:rate5m{${studio}}`, '{{code}}')),
    )
    .withPanel(
      timeSeries(
        'Time of work',
        'Within which half, 95 and 99 of 100 completed jobs end.',
        units.Seconds,
        below(settings.monitoring.serviceLevel.jobLatency.seconds, settings.model.jobTimeoutSeconds),
      )
        .links(runbooks(settings, 'OrfeasJobLatencyBurn'))
        .withTarget(query(`orfeas:job_duration_seconds:p50{${studio}}`, 'half'))
        .withTarget(query(`orfeas:job_duration_seconds:p95{${studio}}`, '95 of 100'))
        .withTarget(query(`orfeas:job_duration_seconds:p99{${studio}}`, '99 of 100')),
    )
    .withPanel(
      timeSeries(
        'Put back into the queue',
        'Jobs, by reason; leases that were lost; jobs refused because Redis was away.',
        units.CountsPerSecond,
        unlimited,
      )
        .links(runbooks(settings, 'OrfeasWorkerRestarts', 'OrfeasRedisDown'))
        .withTarget(perSecond('orfeas_jobs_requeued_total', 'reason'))
        .withTarget(total('orfeas_job_leases_lost_total', 'lease lost'))
        .withTarget(total('orfeas_job_submit_failures_total', 'not accepted')),
    )
    .withPanel(
      timeSeries('Slots', 'Jobs that each pod works on, and could.', units.Short, unlimited)
        .withTarget(query(`orfeas_jobs_running{${pods}}`, '{{pod}}: running'))
        .withTarget(query(`orfeas_job_slots{${pods}}`, '{{pod}}: at once')),
    )
    .withRow(new RowBuilder('Pipeline'))
    .withPanel(
      timeSeries('Stages', '95 of 100 are done within this time.', units.Seconds, unlimited)
        .links(runbooks(settings, 'OrfeasJobLatencyBurn'))
        .withTarget(p95By('orfeas_pipeline_stage_duration_seconds', 'stage')),
    )
    .withPanel(
      timeSeries('Where the time goes', 'Share of each stage in all work.', units.PercentUnit, unlimited)
        .max(1)
        .withTarget(
          query(
            `sum by (stage) (rate(orfeas_pipeline_stage_duration_seconds_sum{${pods}}[5m])) / on () group_left () (sum(rate(orfeas_pipeline_stage_duration_seconds_sum{${pods}}[5m])) > 0)`,
            '{{stage}}',
          ),
        ),
    )
    .withPanel(
      timeSeries('Models', '95 of 100 have at most so many triangles and vertices.', units.Short, unlimited)
        .withTarget(p95('orfeas_mesh_faces', 'triangles'))
        .withTarget(p95('orfeas_mesh_vertices', 'vertices')),
    )
    .withPanel(
      timeSeries('Engine', 'Whether the model is loaded, in each pod.', units.BoolYesNo, unlimited)
        .max(1)
        .links(runbooks(settings, 'OrfeasModelNotReady'))
        .withTarget(query(`orfeas_model_ready{${pods}} * on (pod) group_left (engine) orfeas_engine_info{${pods}}`, '{{pod}} {{engine}}')),
    )
    .withRow(new RowBuilder('WebSocket'))
    .withPanel(
      timeSeries('Clients', 'Connected, and jobs that they follow.', units.Short, unlimited)
        .withTarget(query(`sum(orfeas_websocket_clients{${pods}})`, 'clients'))
        .withTarget(query(`sum(orfeas_websocket_rooms{${pods}})`, 'jobs')),
    )
    .withPanel(
      timeSeries('Connections', 'Opened and closed, and subscriptions by outcome.', units.CountsPerSecond, unlimited)
        .withTarget(total('orfeas_websocket_connects_total', 'opened'))
        .withTarget(total('orfeas_websocket_disconnects_total', 'closed'))
        .withTarget(perSecond('orfeas_websocket_subscriptions_total', 'outcome')),
    )
    .withPanel(
      timeSeries('Events', 'Published by the worker.', units.CountsPerSecond, unlimited).withTarget(
        perSecond('orfeas_websocket_events_published_total', 'event'),
      ),
    )
    .withPanel(
      timeSeries(
        'Events sent again',
        'By the Socket.IO server, because a client missed them.',
        units.CountsPerSecond,
        unlimited,
      ).withTarget(perSecond('orfeas_websocket_events_resent_total', 'event')),
    )
    .withRow(new RowBuilder('Processes'))
    .withPanel(
      timeSeries('Memory', 'Resident, of each process; the api is all of its workers.', units.BytesIEC, unlimited).withTarget(
        query(`sum by (pod, process) (orfeas_process_resident_memory_bytes{${pods}})`, '{{pod}} {{process}}'),
      ),
    )
    .withPanel(timeSeries('CPU', 'Cores.', units.Short, unlimited).withTarget(perSecond('orfeas_process_cpu_seconds_total', 'process')))
    .withPanel(
      timeSeries('Threads and files', 'That are open, by process.', units.Short, unlimited)
        .withTarget(query(`sum by (process) (orfeas_process_threads{${pods}})`, '{{process}}: threads'))
        .withTarget(query(`sum by (process) (orfeas_process_open_fds{${pods}})`, '{{process}}: files')),
    )
    .withPanel(
      timeSeries('Redis', '1 while a process reaches it.', units.BoolYesNo, always)
        .max(1)
        .links(runbooks(settings, 'OrfeasRedisDown'))
        .withTarget(query(`min by (process) (orfeas_redis_up{${pods}})`, '{{process}}')),
    );
