/** The picture of an app: plain on tabs and menus, with its live state on a launcher card. */

import { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { App, AppState } from '../tokens';
import type { AppsModel } from './model';
import { stateWords } from './words';

const SECTION_SVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161"><rect x="4" y="4" width="7" height="7" rx="1.5"/><rect x="13" y="4" width="7" height="7" rx="1.5"/><rect x="4" y="13" width="7" height="7" rx="1.5"/><rect x="13" y="13" width="7" height="7" rx="1.5"/></g></svg>`;

/** Stands for all apps together. */
export const appsIcon = new LabIcon({ name: 'petrihub:apps', svgstr: SECTION_SVG });

const known = new Map<string, LabIcon>();

/** The icon of an app; the same object every time, as JupyterLab expects. */
export function appIcon(model: AppsModel, app: App): LabIcon {
  const name = `petrihub:app-${app.id}`;
  let icon = known.get(name);
  if (!icon) {
    icon = new LabIcon({ name, svgstr: asPicture(app.icon_url) });
    // launcher cards ask for `react`; everything else renders the plain svg
    Object.defineProperty(icon, 'react', { value: liveIcon(model, app.id, icon.react) });
    known.set(name, icon);
  }
  return icon;
}

/** An svg that shows the picture as a picture: whatever the image brought, it runs no script. */
function asPicture(url: string): string {
  const image = document.createElementNS('http://www.w3.org/2000/svg', 'image');
  image.setAttribute('href', url);
  image.setAttribute('width', '48');
  image.setAttribute('height', '48');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="16" height="16">${image.outerHTML}</svg>`;
}

function liveIcon(model: AppsModel, id: string, plain: LabIcon.IReact): LabIcon.IReact {
  const Live = React.forwardRef<SVGElement, LabIcon.IReactProps>((props, ref) => {
    if (props.stylesheet === 'launcherSection') {
      return <appsIcon.react {...props} ref={ref} />;
    }
    if (props.stylesheet === 'launcherCard') {
      return <TileIcon model={model} id={id} />;
    }
    const Plain = plain as React.ElementType;
    return <Plain {...props} ref={ref} />;
  });
  Live.displayName = `petrihub-${id}`;
  return Live as LabIcon.IReact;
}

function TileIcon({ model, id }: { model: AppsModel; id: string }): JSX.Element {
  const element = React.useRef<HTMLDivElement>(null);
  const app = useApp(model, id);
  React.useEffect(() => (element.current ? model.watch(element.current) : undefined), [model]);
  React.useLayoutEffect(() => {
    const card = element.current?.closest<HTMLElement>('.jp-LauncherCard');
    if (card && app) {
      markCard(card, app);
    }
  });
  const state = app?.state ?? 'stopped';
  return (
    <div className="petrihub-TileIcon" data-state={state} ref={element}>
      <img src={app?.icon_url} alt="" draggable={false} />
      <Badge state={state} />
      <span className="petrihub-hidden">{app ? stateWords(app) : ''}</span>
    </div>
  );
}

/** What stands in the corner: nothing while stopped. */
function Badge({ state }: { state: AppState }): JSX.Element | null {
  if (state === 'starting' || state === 'ready') {
    return <span className={`petrihub-Badge petrihub-mod-${state}`} aria-hidden="true" />;
  }
  if (state === 'failed') {
    return (
      <span className="petrihub-Badge petrihub-mod-failed" aria-hidden="true">
        !
      </span>
    );
  }
  return null;
}

/** JupyterLab's cards know no state; what it leaves open is set on the card itself. */
function markCard(card: HTMLElement, app: App): void {
  const unavailable = app.state === 'unavailable';
  card.dataset['petrihubApp'] = app.id;
  card.dataset['petrihubState'] = app.state;
  if (unavailable) {
    card.setAttribute('aria-disabled', 'true');
  } else {
    card.removeAttribute('aria-disabled');
  }
  const tip = [app.summary, stateWords(app)].filter(Boolean).join('\n');
  card.title = tip;
  const label = card.querySelector<HTMLElement>('.jp-LauncherCard-label');
  if (label) {
    label.title = tip;
  }
}

/** The app as it is now; renders again when it changes. */
export function useApp(model: AppsModel, id: string): App | undefined {
  const subscribe = React.useCallback(
    (notify: () => void) => {
      model.changed.connect(notify);
      return () => void model.changed.disconnect(notify);
    },
    [model]
  );
  return React.useSyncExternalStore(subscribe, () => model.app(id));
}
