/** Asks which file to open in an app that needs one. */

import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import * as React from 'react';

import type { App, FoundFile, FoundFiles } from '../tokens';
import { folderOf, sizeWords } from './words';

/** The path that the person chose; null when they changed their mind or there is none. */
export async function chooseFile(app: App, found: FoundFiles): Promise<string | null> {
  const body = new Chooser(app, found);
  const empty = found.files.length === 0;
  const result = await showDialog({
    title: `Open in ${app.title}`,
    body,
    focusNodeSelector: '.petrihub-Chooser-filter, .jp-Dialog-button.jp-mod-accept',
    buttons: empty
      ? [Dialog.okButton({ label: 'Close' })]
      : [Dialog.cancelButton(), Dialog.okButton({ label: 'Open' })]
  });
  return result.button.accept && !empty ? result.value : null;
}

class Chooser extends ReactWidget implements Dialog.IBodyWidget<string | null> {
  constructor(
    private readonly app: App,
    private readonly found: FoundFiles
  ) {
    super();
    this.addClass('petrihub-Chooser');
    this.chosen = found.files[0]?.path ?? null;
  }

  getValue(): string | null {
    return this.chosen;
  }

  protected override render(): JSX.Element {
    const types = this.app.file_types.join(', ');
    if (this.found.files.length === 0) {
      return (
        <div className="petrihub-Chooser-empty">
          <p>There is no {types} file in your workspace yet.</p>
          <p>Upload one in the file browser, or run a notebook that writes one.</p>
        </div>
      );
    }
    return (
      <FileList
        found={this.found}
        types={types}
        onChoose={path => {
          this.chosen = path;
        }}
      />
    );
  }

  private chosen: string | null;
}

interface FileListProps {
  found: FoundFiles;
  types: string;
  onChoose: (path: string | null) => void;
}

function FileList({ found, types, onChoose }: FileListProps): JSX.Element {
  const [filter, setFilter] = React.useState('');
  const [chosen, setChosen] = React.useState(found.files[0]?.path ?? null);
  const shown = found.files.filter(file => matches(file, filter));
  const current = shown.some(file => file.path === chosen) ? chosen : (shown[0]?.path ?? null);
  React.useEffect(() => onChoose(current), [current, onChoose]);
  return (
    <>
      <input
        className="petrihub-Chooser-filter jp-mod-styled"
        type="search"
        placeholder={`Filter ${types} files`}
        aria-label="Filter files"
        value={filter}
        onChange={event => setFilter(event.target.value)}
      />
      <ul className="petrihub-Chooser-list" role="radiogroup" aria-label="Files">
        {shown.map(file => (
          <li key={file.path}>
            <label className={file.path === current ? 'petrihub-mod-chosen' : ''}>
              <input
                type="radio"
                name="petrihub-file"
                checked={file.path === current}
                onChange={() => setChosen(file.path)}
              />
              <span className="petrihub-Chooser-name">{file.name}</span>
              <span className="petrihub-Chooser-folder">{folderOf(file.path) || 'Home'}</span>
              <span className="petrihub-Chooser-size">{sizeWords(file.size)}</span>
            </label>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p role="status">No file matches.</p>}
      {!found.complete && <p>Only the newest files are listed. The file browser has them all.</p>}
    </>
  );
}

function matches(file: FoundFile, filter: string): boolean {
  return file.path.toLowerCase().includes(filter.trim().toLowerCase());
}
