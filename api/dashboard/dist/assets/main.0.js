const text = document.getElementById('text');
new EventSource('/v1/live').addEventListener('snapshot', (event) => {
  text.textContent = event.data;
});
