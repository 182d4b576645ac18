// What a dashboard is, and how Grafana writes it.

export interface Query {
  readonly expression: string;
  /** What a line is called, with labels in double braces. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly type: 'timeseries' | 'stat' | 'table' | 'bargauge';
  /** As Grafana names it: pps (packets a second), s, bytes, short, percentunit ... */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** Of 24. */
  readonly width: number;
  /** Texts in place of numbers. */
  readonly texts?: Readonly<Record<number, string>>;
}

export interface Dashboard {
  readonly name: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

const HEIGHT = { timeseries: 8, table: 10, bargauge: 8, stat: 4 } as const;
/** Lines over time, half of the width. */
export function lines(
  title: string,
  description: string,
  unit: string,
  ...queries: readonly (readonly [expression: string, legend: string])[]
): Panel {
  return {
    title,
    description,
    type: 'timeseries',
    unit,
    width: 12,
    queries: queries.map(([expression, legend]) => ({ expression, legend })),
  };
}

/** One number, a quarter of the width. */
export function number(
  title: string,
  description: string,
  unit: string,
  expression: string,
): Panel {
  const queries = [{ expression, legend: title }];
  return { title, description, type: 'stat', unit, width: 6, queries };
}

/** As Grafana's import takes it; whoever imports it chooses the data source. */
export function dashboardJson({ name, title, panels }: Dashboard): object {
  const usesAgents = JSON.stringify(panels).includes('$instance');
  return {
    uid: `tortie-${name}`,
    title,
    tags: ['tortie'],
    schemaVersion: 38,
    editable: true,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: { list: [DATA_SOURCE, ...(usesAgents ? [INSTANCE] : [])] },
    annotations: { list: [] },
    panels: placed(panels),
  };
}

const DATA_SOURCE = {
  name: 'datasource',
  label: 'Data source',
  type: 'datasource',
  query: 'prometheus',
};
const PROMETHEUS = { type: 'prometheus', uid: '${datasource}' };
const INSTANCE = {
  name: 'instance',
  label: 'Agent',
  type: 'query',
  datasource: PROMETHEUS,
  query: { query: 'label_values(felix_host, instance)', refId: 'instance' },
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: '.*',
  current: { text: ['All'], value: ['$__all'] },
};

/** From left to right, in rows of 24. */
function placed(panels: readonly Panel[]): object[] {
  let [x, y, rowHeight] = [0, 0, 0];
  return panels.map((panel, index) => {
    if (x + panel.width > 24) {
      y += rowHeight;
      [x, rowHeight] = [0, 0];
    }
    const h = HEIGHT[panel.type];
    const gridPos = { x, y, w: panel.width, h };
    x += panel.width;
    rowHeight = Math.max(rowHeight, h);
    return panelJson(panel, index + 1, gridPos);
  });
}

function panelJson(panel: Panel, id: number, gridPos: object): object {
  const { title, description, type, unit, queries, texts = {} } = panel;
  const isInstant = type === 'table';
  const options = Object.fromEntries(
    Object.entries(texts).map(([value, text], index) => [value, { text, index }]),
  );
  const mappings = Object.keys(texts).length > 0 ? [{ type: 'value', options }] : [];
  return {
    id,
    type,
    title,
    description,
    gridPos,
    datasource: PROMETHEUS,
    fieldConfig: { defaults: { unit, mappings, min: 0 }, overrides: [] },
    targets: queries.map(({ expression, legend }, index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: PROMETHEUS,
      expr: expression,
      ...(isInstant ? { instant: true, format: 'table' } : { legendFormat: legend }),
    })),
  };
}
