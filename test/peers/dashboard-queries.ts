// For tests: what the dashboards ask Prometheus.
import { dashboardFiles } from '../../scripts/dashboards.ts';

/** Every query of every dashboard, with a value for each variable, by where it stands. */
export function dashboardQueries(): Map<string, string> {
  const queries = new Map<string, string>();
  for (const [file, text] of dashboardFiles()) {
    const { panels } = JSON.parse(text) as {
      panels: { title: string; targets: { refId: string; expr: string }[] }[];
    };
    for (const { title, targets } of panels) {
      for (const { refId, expr } of targets) {
        const expression = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m');
        queries.set(`${file}: ${title} ${refId}`, expression);
      }
    }
  }
  return queries;
}
