"""Django settings. Everything that differs between installations comes from the environment; each variable
is a field of research_app/environment.py, and docs/reference/environment.md lists them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from research_app import environment
from research_app.environment_values import host_of
from research_app.home import CODE, broker_url, default_address, home, secret_key

ENVIRONMENT = environment.read()
HOME: Path = home()
SECRET_KEY = secret_key()
DEBUG = ENVIRONMENT.DEBUG
PORT = ENVIRONMENT.PORT
LISTEN = ENVIRONMENT.SIGNOFF_LISTEN
SITE_URL = ENVIRONMENT.SITE_URL or default_address()
ALLOWED_HOSTS = list(ENVIRONMENT.ALLOWED_HOSTS or ("localhost", "127.0.0.1", "[::1]", host_of(SITE_URL)))
CSRF_TRUSTED_ORIGINS = [SITE_URL] if SITE_URL.startswith("https://") else []

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "ninja",  # the page of the API
    "axes",
    "research_app",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "research_app.door.text.RefuseControlCharacters",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "research_app.web.shared.security.ContentSecurityPolicyMiddleware",
    "research_app.web.shared.drafts.DraftsMiddleware",
]
ROOT_URLCONF = "research_app.urls"
ASGI_APPLICATION = "research_app.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CODE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "research_app.web.shared.navigation.navigation",
            ],
        },
    },
]

# Settled by measurement (design section 7): IMMEDIATE transactions in WAL mode never met "database is locked".
DATABASE_URL = ENVIRONMENT.DATABASE_URL
DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(DATABASE_URL or f"sqlite:///{HOME / 'signoff.sqlite3'}", conn_max_age=0)
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    # Pooled by psycopg: a new connection per request would cost more than most of our pages.
    # At most three for each proposer at work (research_app/machine/services.py): its own, and the heartbeats of turn and
    # conversation.
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 24, "timeout": 10}}

AUTH_USER_MODEL = "auth.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = ["research_app.door.throttle.WebBackend", "django.contrib.auth.backends.ModelBackend"]
# How often a password may be tried: research_app/door/throttle.py has the limits, in hundredths of which failures are counted.
AXES_HANDLER = "research_app.door.throttle.Throttle"
AXES_USERNAME_CALLABLE = "research_app.door.throttle.key_of_account"
AXES_CLIENT_IP_CALLABLE = "research_app.door.throttle.address_of"
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_FAILURE_LIMIT = 100
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address", "username"]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
SILENCED_SYSTEM_CHECKS = ["axes.W002"]  # the sign-in page answers itself where a limit is reached
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
# Installations on one host share the cookie jar of "localhost": the port keeps them apart.
SESSION_COOKIE_NAME = f"signoff_session_{PORT}"
CSRF_COOKIE_NAME = f"signoff_csrf_{PORT}"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "research_app.web.account.sign_in.refused_by_csrf"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [CODE / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "research_app.web.shared.assets.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# How long a worker may be silent before its work is given to another. It reports four times as often.
LEASE_SECONDS = ENVIRONMENT.LEASE_SECONDS
RUNS_PER_GPU = ENVIRONMENT.SIGNOFF_RUNS_PER_GPU

CELERY_BROKER_URL = broker_url()

# Reverse proxies, whose word for a client's address is taken; see docs/explanation/door.md.
PROXIES = ENVIRONMENT.SIGNOFF_PROXIES

# Signed heads of the audit log, exported to where the owner of the database cannot reach: a file, an http(s) address, or "off".
CHECKPOINTS = ENVIRONMENT.SIGNOFF_CHECKPOINTS or str(HOME / "checkpoints.jsonl")
CHECKPOINT_KEY = ENVIRONMENT.SIGNOFF_CHECKPOINT_KEY or str(HOME / "checkpoint_key.pem")
CHECKPOINT_EVERY = ENVIRONMENT.SIGNOFF_CHECKPOINT_EVERY

# E-mail to people whose turn it is. Without a mail server each message becomes a file, so that nothing is lost or sent astray.
EMAIL_HOST = ENVIRONMENT.EMAIL_HOST
EMAIL_PORT = ENVIRONMENT.EMAIL_PORT
EMAIL_HOST_USER = ENVIRONMENT.EMAIL_HOST_USER
EMAIL_HOST_PASSWORD = ENVIRONMENT.EMAIL_HOST_PASSWORD.get_secret_value()
EMAIL_USE_TLS, EMAIL_USE_SSL = ENVIRONMENT.EMAIL_USE_TLS, ENVIRONMENT.EMAIL_USE_SSL
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = HOME / "mail"
DEFAULT_FROM_EMAIL = ENVIRONMENT.EMAIL_FROM
# Hosts (with a port where it matters) that people's webhooks may name although they are not https or not public.
WEBHOOK_HOSTS = list(ENVIRONMENT.SIGNOFF_WEBHOOK_HOSTS)

# Requests of one token in a minute: those that read and those that submit something. Counted in each web process.
API_READS = ENVIRONMENT.SIGNOFF_API_READS
API_SUBMISSIONS = ENVIRONMENT.SIGNOFF_API_SUBMISSIONS

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"axes": {"level": "ERROR"}},  # the audit log tells it
    "root": {"handlers": ["console"], "level": ENVIRONMENT.LOG_LEVEL},
}
