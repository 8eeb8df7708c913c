// Sends the answer to the application by itself. Without JavaScript the page's button does it.
document.getElementById("send").submit();
