"""The account page: plain files for a browser, and the QR code that they show."""
