"""QuickBooks Online as a server: sign-in, company data, change data capture and webhooks."""
