// The JavaScript client at work (npm package @kubernetes/client-node). Where the cluster is, KUBECONFIG says.
//   client.js follow NAMESPACE        a line of JSON for every change of ConfigMaps and Deployments that its informers tell
//   client.js work NAMESPACE IMAGE    everyday work; a line 'ok STEP' each, exit code 0 when all went as it should
import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import * as k8s from '@kubernetes/client-node';
import WebSocket from 'ws';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ok = (step) => console.log('ok', step);

async function follow(namespace) {
  const kinds = [
    ['ConfigMap', `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace })],
    ['Deployment', `/apis/apps/v1/namespaces/${namespace}/deployments`, () => apps.listNamespacedDeployment({ namespace })],
  ];
  for (const [kind, path, list] of kinds) {
    const informer = k8s.makeInformer(config, path, list);
    const tell = (event) => (object) => console.log(JSON.stringify({ event, kind, object }));
    informer.on('add', tell('ADDED'));
    informer.on('update', tell('MODIFIED'));
    informer.on('delete', tell('DELETED'));
    informer.on('error', (e) => {
      console.error(kind, e.message);
      setTimeout(() => informer.start(), 1000);
    });
    await informer.start();
    console.log(JSON.stringify({ synced: kind }));
  }
}

// A call that must fail with this status and reason.
async function refused(call, code, reason) {
  const e = await call.then(() => assert.fail(`want ${reason}, but it went through`), (e) => e);
  assert.equal(e.code, code, e);
  assert.equal(JSON.parse(e.body).reason, reason);
}

class Text extends Writable {
  text = '';
  _write(chunk, _encoding, done) {
    this.text += chunk;
    done();
  }
}

async function exec(namespace, pod, command, input) {
  const out = new Text(), err = new Text();
  const status = await new Promise((resolve, reject) =>
    new k8s.Exec(config).exec(namespace, pod, 'main', command, out, err, input ?? null, false, resolve).catch(reject));
  return { out: out.text, err: err.text, status };
}

// The first event of a watch by WebSocket, as browsers watch.
async function watchBySocket(path) {
  const options = {};
  await config.applyToHTTPSOptions(options);
  const socket = new WebSocket(config.getCurrentCluster().server.replace(/^http/, 'ws') + path, options);
  const event = await new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)));
    socket.on('message', (data, binary) => (binary ? reject(new Error('binary')) : resolve(JSON.parse(data))));
  });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.close(1000);
  assert.equal(await closed, 1000);
  return event;
}

async function work(namespace, image) {
  const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'js', labels: { by: 'js' } }, data: { a: '1' } } });
  assert.deepEqual(made.data, { a: '1' });
  await refused(core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'js' } } }), 409, 'AlreadyExists');
  await refused(core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'Not A Name' } } }), 422, 'Invalid');
  ok('create');
  const stale = await core.readNamespacedConfigMap({ name: 'js', namespace });
  await core.replaceNamespacedConfigMap({ name: 'js', namespace, body: { ...made, data: { a: '1', b: '2' } } });
  await refused(core.replaceNamespacedConfigMap({ name: 'js', namespace, body: stale }), 409, 'Conflict');
  ok('replace');
  const how = (strategy) => k8s.setHeaderOptions('Content-Type', strategy);
  let patched = await core.patchNamespacedConfigMap({ name: 'js', namespace, body: [{ op: 'replace', path: '/data/b', value: '3' }] }, how(k8s.PatchStrategy.JsonPatch));
  assert.equal(patched.data.b, '3');
  patched = await core.patchNamespacedConfigMap({ name: 'js', namespace, body: { data: { a: null, c: '4' } } }, how(k8s.PatchStrategy.MergePatch));
  assert.deepEqual(patched.data, { b: '3', c: '4' });
  patched = await core.patchNamespacedConfigMap({ name: 'js', namespace, body: { metadata: { labels: { more: 'y' } } } }, how(k8s.PatchStrategy.StrategicMergePatch));
  assert.deepEqual(patched.metadata.labels, { by: 'js', more: 'y' });
  ok('patch');
  const manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data: { x: '1' } };
  const applied = await core.patchNamespacedConfigMap({ name: 'applied', namespace, body: manifest, fieldManager: 'one' }, how(k8s.PatchStrategy.ServerSideApply));
  assert.equal(applied.metadata.managedFields[0].operation, 'Apply');
  const other = { ...manifest, data: { x: '2' } };
  const again = (force) => core.patchNamespacedConfigMap({ name: 'applied', namespace, body: other, fieldManager: 'two', force }, how(k8s.PatchStrategy.ServerSideApply));
  await refused(again(false), 409, 'Conflict');
  assert.equal((await again(true)).data.x, '2');
  ok('apply');
  for (let i = 0; i < 7; i++) await core.createNamespacedConfigMap({ namespace, body: { metadata: { generateName: 'page-', labels: { page: 'y' } } } });
  const names = new Set();
  let next;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'page=y', limit: 3, _continue: next });
    page.items.forEach((i) => names.add(i.metadata.name));
    next = page.metadata._continue;
  } while (next);
  assert.equal(names.size, 7);
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'page=y' });
  ok('list');
  // Objects of any kind by the generic client, as manifests are applied.
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const [deployment] = k8s.loadAllYaml(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: js, namespace: ${namespace}}
spec:
  replicas: 1
  selector: {matchLabels: {app: js}}
  template:
    metadata: {labels: {app: js}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "${image}", args: [netexec, --http-port=8080], readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}]
`);
  await objects.create(deployment);
  const ready = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the Deployment was not ready within 60 s')), 60000);
    new k8s.Watch(config).watch(`/apis/apps/v1/namespaces/${namespace}/deployments`, { fieldSelector: 'metadata.name=js' }, (type, object) => {
      if (object.status?.readyReplicas !== 1) return;
      clearTimeout(late);
      resolve(object);
    }, (e) => e && e.name !== 'AbortError' && reject(e)).then((request) => setTimeout(() => request.abort(), 65000).unref(), reject);
  });
  assert.equal(ready.metadata.name, 'js');
  const seen = await watchBySocket(`/api/v1/namespaces/${namespace}/configmaps?watch=true&fieldSelector=metadata.name%3Djs`);
  assert.deepEqual([seen.type, seen.object.metadata.name, seen.object.data], ['ADDED', 'js', { b: '3', c: '4' }]);
  ok('watch');
  const scale = await apps.readNamespacedDeploymentScale({ name: 'js', namespace });
  scale.spec.replicas = 2;
  assert.equal((await apps.replaceNamespacedDeploymentScale({ name: 'js', namespace, body: scale })).spec.replicas, 2);
  ok('scale');
  const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=js', fieldSelector: 'status.phase=Running' });
  const pod = pods.items.find((p) => p.status.conditions.some((c) => c.type === 'Ready' && c.status === 'True')).metadata.name;
  assert.match(await core.readNamespacedPodLog({ name: pod, namespace }), /Started HTTP server/);
  const log = new Text();
  const logging = await new k8s.Log(config).log(namespace, pod, 'main', log, { follow: true, tailLines: 5 });
  for (let i = 0; i < 100 && !/Started HTTP server/.test(log.text); i++) await sleep(100);
  logging.abort();
  assert.match(log.text, /Started HTTP server/);
  ok('log');
  const both = await exec(namespace, pod, ['sh', '-c', 'echo out; echo err >&2; exit 3']);
  assert.deepEqual([both.out, both.err], ['out\n', 'err\n']);
  assert.equal(both.status.details.causes.find((c) => c.reason === 'ExitCode').message, '3');
  const input = new PassThrough();
  input.write('hello\n');
  const answered = await exec(namespace, pod, ['sh', '-c', 'read l; echo got $l'], input);
  assert.equal(answered.out, 'got hello\n');
  assert.equal(answered.status.status, 'Success');
  ok('exec');
  const page = new Text(), request = new PassThrough();
  const forward = await new k8s.PortForward(config).portForward(namespace, pod, [8080], page, null, request);
  const over = new Promise((resolve) => forward.on('close', resolve));
  request.write('GET /hostname HTTP/1.0\r\n\r\n');
  await over;
  assert.equal(page.text.split('\r\n\r\n').at(-1), pod);
  ok('port-forward');
  await apps.deleteNamespacedDeployment({ name: 'js', namespace, propagationPolicy: 'Foreground' });
  const end = Date.now() + 60000;
  while ((await core.listNamespacedPod({ namespace, labelSelector: 'app=js' })).items.length) {
    assert.ok(Date.now() < end, 'its pods are still there after 60 s');
    await sleep(200);
  }
  for (const name of ['js', 'applied']) await core.deleteNamespacedConfigMap({ name, namespace });
  await refused(core.readNamespacedConfigMap({ name: 'js', namespace }), 404, 'NotFound');
  ok('delete');
  process.exit(0);
}

const [what, ...args] = process.argv.slice(2);
({ follow, work })[what](...args).catch((e) => {
  console.error(e);
  process.exit(1);
});
